namespace Sharpvisor.Devices.Boot;

/// <summary>A multiboot module: a file and the string that goes with it, which by qemu's custom starts with the file's name.</summary>
public sealed record BootModule(BootFile File, string CommandLine)
{
    /// <summary>Reads modules as qemu's <c>-initrd "file args,file args"</c> names them.</summary>
    /// <exception cref="BootException">A file cannot be read.</exception>
    public static IReadOnlyList<BootModule> ReadList(string option)
    {
        ArgumentNullException.ThrowIfNull(option);
        return
        [
            .. option.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
                .Select(module => new BootModule(BootFile.Read(module.Split(' ', 2)[0]), module)),
        ];
    }
}

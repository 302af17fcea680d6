// Kernel and initrd files, read once: a reset boots the same bytes again.
using Sharpvisor.Core;
using Sharpvisor.Devices.Boot;
using Sharpvisor.Devices.Vga;

namespace Sharpvisor.Worker;

internal sealed class BootImages
{
    private readonly BootFile _kernel;
    private readonly BootFile? _initrd;
    private readonly IReadOnlyList<BootModule> _modules;

    private BootImages(BootFile kernel, BootFile? initrd, IReadOnlyList<BootModule> modules)
    {
        _kernel = kernel;
        _initrd = initrd;
        _modules = modules;
    }

    /// <exception cref="VmConfigurationException">A file is missing or not what it should be.</exception>
    public static BootImages Read(VmOptions options)
    {
        try
        {
            BootFile kernel = BootFile.Read(options.KernelPath);
            return MultibootLoader.IsMultiboot(kernel.Content.Span) && !LinuxBootLoader.IsLinux(kernel.Content.Span)
                ? new BootImages(kernel, null, options.InitrdPath is null ? [] : BootModule.ReadList(options.InitrdPath))
                : new BootImages(kernel, Initrd(options), []);
        }
        catch (BootException e)
        {
            throw new VmConfigurationException(e.Message);
        }
    }

    /// <summary>Loads into guest memory; firmware tables are in place.</summary>
    /// <param name="screen">The display adapter, in the mode that a kernel is to find; null: none.</param>
    /// <exception cref="BootException">It does not fit or is damaged.</exception>
    public BootState Load(GuestMemory memory, string commandLine, VgaAdapter? screen) =>
        MultibootLoader.IsMultiboot(_kernel.Content.Span) && !LinuxBootLoader.IsLinux(_kernel.Content.Span)
            ? MultibootLoader.Load(memory, _kernel, _modules, commandLine)
            : LinuxBootLoader.Load(memory, _kernel, _initrd, commandLine, screen);

    private static BootFile? Initrd(VmOptions options)
    {
        BootFile? file = options.InitrdPath is null ? null : BootFile.Read(options.InitrdPath);
        if (options.ExtraInitrd.IsEmpty)
        {
            return file;
        }

        // The kernel unpacks concatenated archives; each starts at a multiple of 4 (early-userspace/buffer-format.rst).
        int first = file is null ? 0 : (file.Content.Length + 3) & ~3;
        byte[] joined = new byte[first + options.ExtraInitrd.Length];
        file?.Content.CopyTo(joined);
        options.ExtraInitrd.CopyTo(joined.AsMemory(first));
        return new BootFile(file?.Name ?? "initrd", joined);
    }
}

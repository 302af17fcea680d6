// Debian's sg3-utils, which send single SCSI commands and take the answers apart.
namespace Sharpvisor.Cli.Guests;

internal static class Sg3Utils
{
    public static void AddTo(CpioArchive archive, DebianPackages packages)
    {
        GuestLibraries.AddTo(archive, packages);
        // The library's package is named after its version.
        string library = packages.Unpack(packages.Resolve("sg3-utils", "libsgutils2-"));
        string directory = Path.GetDirectoryName(Directory.EnumerateFiles(library, "libsgutils2*.so.2", SearchOption.AllDirectories).Single())!;
        foreach (string file in Directory.EnumerateFiles(directory, "libsgutils2*.so.2"))
        {
            archive.AddProgram($"{GuestLibraries.Directory}/{Path.GetFileName(file)}", File.ReadAllBytes(file));
        }

        foreach (string program in Directory.EnumerateFiles(Path.Combine(packages.Unpack("sg3-utils"), "usr/bin"), "sg_*"))
        {
            archive.AddProgram($"bin/{Path.GetFileName(program)}", File.ReadAllBytes(program));
        }
    }
}

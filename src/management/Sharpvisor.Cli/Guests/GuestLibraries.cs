// Debian's dynamically linked programs in a guest: the C library, and files found whichever way a release lays its packages out.
namespace Sharpvisor.Cli.Guests;

internal static class GuestLibraries
{
    public const string Directory = "lib/x86_64-linux-gnu";

    // bookworm's packages use /lib and /sbin, later ones /usr/lib and /usr/sbin.
    private static readonly string[] s_prefixes = ["", "usr"];

    /// <summary>The dynamic loader and the C library.</summary>
    public static void AddTo(CpioArchive archive, DebianPackages packages)
    {
        string libc = packages.Unpack("libc6");
        archive.AddProgram("lib64/ld-linux-x86-64.so.2", File.ReadAllBytes(Find(libc, $"{Directory}/ld-linux-x86-64.so.2")));
        archive.AddProgram($"{Directory}/libc.so.6", File.ReadAllBytes(Find(libc, $"{Directory}/libc.so.6")));
    }

    /// <summary>A file of an unpacked package.</summary>
    public static string Find(string root, string path) =>
        s_prefixes.Select(p => Path.Combine(root, p, path)).FirstOrDefault(File.Exists)
            ?? throw new GuestPreparationException($"{Path.GetFileName(root)} has no {path}");
}

// Debian's ethtool in a guest.
namespace Sharpvisor.Cli.Guests;

internal static class Ethtool
{
    public static void AddTo(CpioArchive archive, DebianPackages packages)
    {
        GuestLibraries.AddTo(archive, packages);
        archive.AddProgram("bin/ethtool", File.ReadAllBytes(GuestLibraries.Find(packages.Unpack("ethtool"), "sbin/ethtool")));
        Add(archive, packages.Unpack("libmnl0"), "libmnl.so.0");
        Add(archive, packages.Unpack("libc6"), "libm.so.6");
    }

    private static void Add(CpioArchive archive, string root, string library) => archive.AddProgram(
        $"{GuestLibraries.Directory}/{library}", File.ReadAllBytes(GuestLibraries.Find(root, $"{GuestLibraries.Directory}/{library}")));
}

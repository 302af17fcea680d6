// What a guest needs to use a network: a script for busybox's DHCP client, and Debian's iperf3 with its libraries.
namespace Sharpvisor.Cli.Guests;

internal static class NetworkTools
{
    /// <summary>Brings eth0 up by DHCP; prints "address A router R".</summary>
    public const string Configure =
        "ip link set lo up; ip link set eth0 up; udhcpc -i eth0 -n -q -f -t 10 -T 1 -s /bin/dhcp-bound >/dev/null 2>&1";

    private const string BoundScript = """
        #!/bin/sh
        [ "$1" = bound ] || exit 0
        ip addr flush dev $interface
        ip addr add $ip/$mask dev $interface
        ip route add default via $router
        echo "address $ip router $router" >/dev/console

        """;

    private const string Libraries = "x86_64-linux-gnu";

    // bookworm's packages use /lib and /usr, later ones /usr only.
    private static readonly string[] s_libraryRoots = ["lib", "usr/lib"];
    private static readonly string[] s_iperfPackages = ["libiperf0", "libsctp1", "libssl3", "libc6"];

    public static void AddTo(CpioArchive archive) => archive.AddScript("bin/dhcp-bound", BoundScript);

    /// <summary>Debian's iperf3, with the dynamic linker and every library of the packages it depends on.</summary>
    public static void AddIperf3To(CpioArchive archive, DebianPackages packages)
    {
        archive.AddProgram("bin/iperf3", File.ReadAllBytes(Path.Combine(packages.Unpack("iperf3"), "usr/bin/iperf3")));
        foreach (string package in s_iperfPackages)
        {
            string root = packages.Unpack(package);
            foreach (string directory in s_libraryRoots.Select(r => Path.Combine(root, r, Libraries)).Where(Directory.Exists))
            {
                // By their sonames: links and their targets become files of the same content.
                foreach (string library in Directory.EnumerateFiles(directory, "*.so*").Where(IsNeeded))
                {
                    archive.AddProgram($"lib/{Libraries}/{Path.GetFileName(library)}", File.ReadAllBytes(library));
                }
            }
        }

        string libc = packages.Unpack("libc6");
        archive.AddProgram("lib64/ld-linux-x86-64.so.2", File.ReadAllBytes(
            s_libraryRoots.Select(r => Path.Combine(libc, r, Libraries, "ld-linux-x86-64.so.2")).First(File.Exists)));
        archive.AddDirectory("etc");
    }

    private static bool IsNeeded(string path) => Path.GetFileName(path) is "libiperf.so.0" or "libsctp.so.1" or "libssl.so.3"
        or "libcrypto.so.3" or "libc.so.6" or "libm.so.6" or "libdl.so.2" or "libpthread.so.0";
}

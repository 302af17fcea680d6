// Debian's hyperv-daemons and the C library they need, for guests that exchange pairs, freeze and take files.
using System.Text;

namespace Sharpvisor.Cli.Guests;

internal static class HyperVDaemons
{
    private const string Libraries = "lib/x86_64-linux-gnu";

    // bookworm's packages use /lib and /usr/sbin, later ones /usr/lib and /usr/sbin.
    private static readonly string[] s_prefixes = ["", "usr"];

    /// <summary>Starts the three daemons, which go to the background once they run.</summary>
    public const string Start = "modprobe hv_utils; for d in kvp vss fcopy; do until [ -e /dev/vmbus/hv_$d ]; do usleep 50000; done; hv_${d}_daemon; done";

    public static void AddTo(CpioArchive archive, DebianPackages packages)
    {
        string daemons = packages.Unpack("hyperv-daemons");
        string libc = packages.Unpack("libc6");
        foreach (string name in (string[])["hv_kvp_daemon", "hv_vss_daemon", "hv_fcopy_daemon"])
        {
            archive.AddProgram($"bin/{name}", Read(daemons, $"sbin/{name}"));
        }

        archive.AddProgram("lib64/ld-linux-x86-64.so.2", Read(libc, $"{Libraries}/ld-linux-x86-64.so.2"));
        archive.AddProgram($"{Libraries}/libc.so.6", Read(libc, $"{Libraries}/libc.so.6"));
        archive.AddDirectory("var/lib/hyperv");
        archive.AddFile("etc/os-release", Encoding.ASCII.GetBytes("NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n"));
    }

    private static byte[] Read(string root, string path) =>
        File.ReadAllBytes(s_prefixes.Select(p => Path.Combine(root, p, path)).FirstOrDefault(File.Exists)
            ?? throw new GuestPreparationException($"{Path.GetFileName(root)} has no {path}"));
}

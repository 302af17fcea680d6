// Debian's hyperv-daemons and the C library they need, for guests that exchange pairs, freeze and take files.
using System.Text;

namespace Sharpvisor.Cli.Guests;

internal static class HyperVDaemons
{
    /// <summary>Starts the three daemons, which go to the background once they run.</summary>
    public const string Start = "modprobe hv_utils; for d in kvp vss fcopy; do until [ -e /dev/vmbus/hv_$d ]; do usleep 50000; done; hv_${d}_daemon; done";

    public static void AddTo(CpioArchive archive, DebianPackages packages)
    {
        string daemons = packages.Unpack("hyperv-daemons");
        GuestLibraries.AddTo(archive, packages);
        foreach (string name in (string[])["hv_kvp_daemon", "hv_vss_daemon", "hv_fcopy_daemon"])
        {
            archive.AddProgram($"bin/{name}", File.ReadAllBytes(GuestLibraries.Find(daemons, $"sbin/{name}")));
        }

        archive.AddDirectory("var/lib/hyperv");
        archive.AddFile("etc/os-release", Encoding.ASCII.GetBytes("NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n"));
    }
}

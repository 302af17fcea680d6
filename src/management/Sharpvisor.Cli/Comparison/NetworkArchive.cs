// The initramfs archive laid over the guest's own for the network works: an init that loads the card's driver, by whichever the guest
// has for it, and runs them.
using System.Globalization;
using Sharpvisor.Cli.Guests;

namespace Sharpvisor.Cli.Comparison;

internal static class NetworkArchive
{
    // What passt gives out by DHCP (PasstOptions); fixed here, for the guest may have no DHCP client.
    private const string GuestAddress = "10.0.2.15/24";
    private const string HostAddress = "10.0.2.2";

    public static byte[] Build(DebianPackages packages, int port)
    {
        var archive = new CpioArchive();
        archive.AddProgram("sharpvisor/busybox", GuestPrograms.ReadBusybox(packages));
        archive.AddProgram("sharpvisor/netbench", GuestPrograms.Compile(packages, "netbench"));
        archive.AddScript(WorkloadArchive.InitPath[1..], Init(port));
        return archive.ToArray();
    }

    private static string Init(int port)
    {
        string works = string.Join('\n', NetworkWork.All.Select(w => $"work {w.Key} {w.Arguments}"));
        return $$"""
            #!/sharpvisor/busybox sh
            b=/sharpvisor/busybox
            $b mkdir -p /proc /sys /dev /tmp /sharpvisor/bin
            $b --install -s /sharpvisor/bin
            export PATH=/sharpvisor/bin
            mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
            exec </dev/console >/dev/console 2>&1
            for module in hv_vmbus hv_netvsc tulip; do modprobe $module 2>/dev/null; done
            tries=0
            until [ -e /sys/class/net/eth0 ]; do
                tries=$((tries + 1))
                [ $tries -gt 200 ] && echo "{{PhaseRecorder.ErrorMark}}no driver of the guest found the network card" && poweroff -f
                usleep 50000
            done
            ip link set lo up; ip link set eth0 up; ip addr add {{GuestAddress}} dev eth0
            until arping -q -c 1 -w 1 -I eth0 {{HostAddress}}; do
                tries=$((tries + 1))
                [ $tries -gt 220 ] && echo "{{PhaseRecorder.ErrorMark}}the host does not answer through the network card" && poweroff -f
            done
            work() {
                key=$1; shift
                echo "{{PhaseRecorder.BeginMark}}$key"
                if result=$(/sharpvisor/netbench {{HostAddress}} {{port.ToString(CultureInfo.InvariantCulture)}} "$@" 2>&1); then echo "{{PhaseRecorder.EndMark}}$key $result"
                else echo "{{PhaseRecorder.ErrorMark}}$key: $result"; fi
            }
            {{works}}
            poweroff -f

            """;
    }
}

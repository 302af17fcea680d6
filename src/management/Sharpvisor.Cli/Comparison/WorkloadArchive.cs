// The initramfs archive laid over the guest's own: an init that finds the scratch disk by whichever driver the guest has,
// runs the works and powers off. The kernel unpacks concatenated archives in order, so the guest's image stays as it is.
using Sharpvisor.Cli.Guests;

namespace Sharpvisor.Cli.Comparison;

internal static class WorkloadArchive
{
    /// <summary>To be given to the kernel as <c>rdinit=</c>.</summary>
    public const string InitPath = "/sharpvisor/init";

    public static byte[] Build(DebianPackages packages)
    {
        var archive = new CpioArchive();
        archive.AddProgram("sharpvisor/busybox", GuestPrograms.ReadBusybox(packages));
        archive.AddProgram("sharpvisor/diskbench", GuestPrograms.Compile(packages, "diskbench"));
        archive.AddScript(InitPath[1..], Init());
        return archive.ToArray();
    }

    private static string Init()
    {
        string works = string.Join('\n', DiskWork.All.Select(w => $"/sharpvisor/diskbench {w.WarmUpCommand} >/dev/null 2>&1\nwork {w.Key} {w.Command}"));
        return $$"""
            #!/sharpvisor/busybox sh
            b=/sharpvisor/busybox
            $b mkdir -p /proc /sys /dev /tmp /sharpvisor/bin
            $b --install -s /sharpvisor/bin
            export PATH=/sharpvisor/bin
            mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
            exec </dev/console >/dev/console 2>&1
            for module in hv_vmbus hv_storvsc ata_piix sd_mod virtio_pci virtio_blk; do modprobe $module 2>/dev/null; done
            find_disk() {
                for d in /sys/block/*; do
                    [ "$(cat $d/size)" = {{DiskWork.ScratchBytes / 512}} ] && disk=/dev/${d##*/} && [ -b $disk ] && return
                done
                return 1
            }
            tries=0
            until find_disk; do
                tries=$((tries + 1))
                [ $tries -gt 600 ] && echo "{{PhaseRecorder.ErrorMark}}no driver of the guest found the disk" && poweroff -f
                usleep 50000
            done
            link=$(readlink -f /sys/block/${disk##*/}/device)
            echo "@@path $link"
            work() {
                key=$1; shift
                echo "{{PhaseRecorder.BeginMark}}$key"
                if result=$(/sharpvisor/diskbench "$@" 2>&1); then echo "{{PhaseRecorder.EndMark}}$key $result"
                else echo "{{PhaseRecorder.ErrorMark}}$key: $result"; fi
            }
            {{works}}
            poweroff -f

            """;
    }
}

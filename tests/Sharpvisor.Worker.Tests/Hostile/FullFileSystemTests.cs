// A host file system that fills up under a sparse image: the guest gets an I/O error, and its VM lives.
using System.Diagnostics;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Worker.Tests.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.Hostile;

public sealed class FullFileSystemTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;
    private bool _mounted;

    public void Dispose()
    {
        if (_mounted)
        {
            Run("umount", "-l", _directory);
        }

        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task A_full_host_file_system_is_an_IO_error_to_the_guest_and_the_VM_lives()
    {
        _mounted = Run("mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", _directory);
        Assert.SkipUnless(_mounted, "mounting a tmpfs is not permitted here");
        string synthetic = Sparse("synthetic.img");
        string emulated = Sparse("emulated.img");

        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            """
            try() {
                n=0; until [ -b $1 ]; do n=$((n+1)); [ $n -gt 900 ] && echo NODISK && poweroff -f; usleep 100000; done
                dd if=/bin/busybox of=$1 bs=64k count=8 conv=fsync 2>/dev/null && echo "$2 first write good"
                cat /bin/busybox /bin/busybox /bin/busybox /bin/busybox /bin/busybox /bin/busybox > /tmp/big
                dd if=/tmp/big of=$1 bs=64k conv=fsync 2>&1 | grep -i error && echo "$2 error seen"
                dd if=$1 of=/tmp/back bs=64k count=8 iflag=direct 2>/dev/null
                dd if=/bin/busybox of=/tmp/front bs=64k count=8 2>/dev/null
                cmp /tmp/back /tmp/front && echo "$2 still reads"
            }
            modprobe sd_mod; modprobe ata_piix prefer_ms_hyperv=0
            try /dev/sda emulated
            modprobe hv_vmbus; modprobe hv_storvsc
            try /dev/sdb synthetic
            dmesg | grep -i -e "I/O error" | head -n 4
            """,
            o => o with
            {
                Disks = [new DiskOptions(emulated, DiskController.Ide, false), new DiskOptions(synthetic, DiskController.Scsi, false)],
            });

        run.AssertPoweredOff()
            .AssertPrinted("emulated first write good")
            .AssertPrinted("emulated error seen")
            .AssertPrinted("emulated still reads")
            .AssertPrinted("synthetic first write good")
            .AssertPrinted("synthetic error seen")
            .AssertPrinted("synthetic still reads");
    }

    private string Sparse(string name)
    {
        string path = Path.Combine(_directory, name);
        using FileStream file = File.Create(path);
        // What has room already can be written again, however full the file system is.
        file.Write(GuestPrograms.ReadBusybox(GuestRun.Packages), 0, 512 << 10);
        file.SetLength(64 << 20);
        return path;
    }

    private static bool Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}

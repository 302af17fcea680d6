// A disk both ways: through the emulated IDE controller, by PIO and by DMA, and through the guest's own hv_storvsc.
using System.Diagnostics;
using System.Security.Cryptography;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Worker.Tests.CommandLine;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class DiskTests : IDisposable
{
    private const string LoadEmulated = "modprobe ata_piix; modprobe sd_mod";
    private const string LoadSynthetic = "modprobe hv_vmbus; modprobe hv_storvsc; modprobe sd_mod";

    private const string WaitForDisk = """

        n=0; until [ -b /dev/sda ]; do n=$((n+1)); [ $n -gt 300 ] && echo NODISK && poweroff -f; usleep 100000; done

        """;

    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;

    public static TheoryData<string, DiskController, bool, string, string> Paths => new()
    {
        { "IDE PIO", DiskController.Ide, false, "libata.dma=0", LoadEmulated },
        { "IDE DMA", DiskController.Ide, false, "", LoadEmulated },
        { "synthetic IDE disk", DiskController.Ide, true, "", LoadSynthetic },
        { "synthetic SCSI disk", DiskController.Scsi, true, "", LoadSynthetic },
    };

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task The_guest_reads_what_the_host_wrote_and_the_host_what_the_guest_synced(
        string name, DiskController controller, bool integration, string arguments, string load)
    {
        string image = Path.Combine(_directory, "disk.img");
        byte[] content = new byte[256 << 20];
        new Random(name.Length).NextBytes(content);
        await File.WriteAllBytesAsync(image, content, TestContext.Current.CancellationToken);
        string hash = Convert.ToHexStringLower(SHA256.HashData(content));

        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            load + WaitForDisk + """
            sha256sum /dev/sda
            dd if=/bin/busybox of=/dev/sda bs=4k seek=1000 conv=notrunc 2>/dev/null
            sync; echo "wrote $(stat -c %s /bin/busybox)"
            """,
            o => o with
            {
                Disks = [new DiskOptions(image, controller, false)],
                Integration = integration,
                CommandLine = $"{o.CommandLine} {arguments}",
            },
            timeoutSeconds: 600);

        run.AssertPoweredOff().AssertPrinted(hash);
        byte[] busybox = GuestPrograms.ReadBusybox(GuestRun.Packages);
        busybox.CopyTo(content.AsSpan(1000 * 4096));
        Assert.Equal(SHA256.HashData(content), SHA256.HashData(await File.ReadAllBytesAsync(image, TestContext.Current.CancellationToken)));
    }

    [Theory]
    [InlineData(true, LoadSynthetic)]
    [InlineData(false, LoadEmulated)]
    public async Task What_was_synced_survives_SIGKILL_of_the_process(bool integration, string load)
    {
        string image = Path.Combine(_directory, "disk.img");
        await File.WriteAllBytesAsync(image, new byte[16 << 20], TestContext.Current.CancellationToken);
        string initrd = Path.Combine(_directory, "initrd");
        LinuxGuest guest = GuestRun.Guest(KernelFlavour.Cloud);
        await File.WriteAllBytesAsync(
            initrd,
            guest.BuildInitramfs(load + WaitForDisk + """
                dd if=/bin/busybox of=/dev/sda bs=1M 2>/dev/null; sync; echo SYNCED; sleep 1000
                """),
            TestContext.Current.CancellationToken);

        using Process process = CommandLineRun.Start(
            "run", "--kernel", guest.KernelPath, "--initrd", initrd, "--append", "console=ttyS0", "--disk", image,
            "--integration", integration ? "on" : "off", "--timeout", "300s");
        while (await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken) is { } line
            && !line.Contains("SYNCED", StringComparison.Ordinal))
        {
        }

        process.Kill();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);

        byte[] busybox = GuestPrograms.ReadBusybox(GuestRun.Packages);
        byte[] disk = await File.ReadAllBytesAsync(image, TestContext.Current.CancellationToken);
        Assert.True(disk.AsSpan(0, busybox.Length).SequenceEqual(busybox));
    }

    [Fact]
    public async Task An_ext4_file_system_used_in_the_guest_passes_fsck_on_the_host()
    {
        string image = Path.Combine(_directory, "ext4.img");
        using (FileStream file = File.Create(image))
        {
            file.SetLength(64 << 20);
        }

        await RunToolAsync("/sbin/mkfs.ext4", "-q", "-F", image);
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            LoadSynthetic + "; modprobe ext4" + WaitForDisk + """
            mount -t ext4 /dev/sda /mnt && for i in $(seq 200); do mkdir -p /mnt/d$((i % 7)); cp /bin/busybox /mnt/d$((i % 7))/f$((i % 20)); done
            rm -r /mnt/d3; umount /mnt && echo UNMOUNTED
            """,
            o => o with { Disks = [new DiskOptions(image, DiskController.Scsi, false)] });

        run.AssertPoweredOff().AssertPrinted("UNMOUNTED");
        await RunToolAsync("/sbin/fsck.ext4", "-f", "-n", image);
    }

    [Fact]
    public async Task A_btrfs_file_system_used_in_the_guest_passes_its_check_on_the_host()
    {
        string image = Path.Combine(_directory, "btrfs.img");
        using (FileStream file = File.Create(image))
        {
            file.SetLength(256 << 20);
        }

        await RunToolAsync("/sbin/mkfs.btrfs", "-q", image);
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            LoadSynthetic + "; modprobe btrfs" + WaitForDisk + """
            mount -t btrfs /dev/sda /mnt && for i in $(seq 60); do mkdir -p /mnt/d$((i % 7)); cp /bin/busybox /mnt/d$((i % 7))/f$((i % 20)); done
            rm -r /mnt/d3; sync; umount /mnt && echo UNMOUNTED
            """,
            o => o with { Disks = [new DiskOptions(image, DiskController.Scsi, false)], Processors = 2 });

        run.AssertPoweredOff().AssertPrinted("UNMOUNTED");
        await RunToolAsync("btrfs", "check", "--readonly", "--check-data-csum", image);
    }

    [Fact]
    public async Task The_integration_drivers_unload_and_load_ten_times()
    {
        string image = Path.Combine(_directory, "disk.img");
        await File.WriteAllBytesAsync(image, new byte[8 << 20], TestContext.Current.CancellationToken);
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            """
            modprobe sd_mod
            for i in 1 2 3 4 5 6 7 8 9 10; do
                modprobe hv_vmbus; modprobe hv_storvsc
                n=0; until [ -b /dev/sda ]; do n=$((n+1)); [ $n -gt 100 ] && echo NODISK && poweroff -f; usleep 100000; done
                dd if=/dev/sda of=/dev/null bs=64k 2>/dev/null && echo "round $i read"
                rmmod hv_storvsc && rmmod hv_vmbus || { echo STUCK; poweroff -f; }
            done
            """,
            o => o with { Disks = [new DiskOptions(image, DiskController.Scsi, false)] },
            timeoutSeconds: 120);

        run.AssertPoweredOff().AssertPrinted("round 10 read");
    }

    private static async Task RunToolAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        string output = await process.StandardOutput.ReadToEndAsync();
        string errors = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, $"{program} says {process.ExitCode}: {output}{errors}");
    }
}

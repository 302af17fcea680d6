// vPCI and NVMe with Debian's pci-hyperv and nvme: the disk's content both ways, interrupts retargeted, drivers reloaded, eject and hot
// add while I/O runs.
using System.Security.Cryptography;
using Sharpvisor.Cli.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class NvmeTests : IDisposable
{
    private const string Wait = """
        appear() { n=0; until [ -b /dev/nvme0n1 ]; do n=$((n+1)); [ $n -gt 600 ] && echo NODISK && dmesg | tail -40 && poweroff -f; usleep 100000; done; }
        vanish() { while [ -e /sys/bus/pci/devices/$1 ]; do usleep 50000; done; }
        count() { awk -v c=$2 '$NF == "'$1'" { print $(c + 2) }' /proc/interrupts; }
        modprobe hv_vmbus; modprobe pci-hyperv; modprobe nvme 2>/dev/null
        appear

        """;

    private static readonly string[] s_modules = ["hv_vmbus", "pci-hyperv", "nvme"];

    private readonly string _image = Path.GetTempFileName();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => File.Delete(_image);

    [Theory]
    [InlineData("Cloud")]
    [InlineData("TrixieGeneric")]
    public async Task The_guest_reads_and_writes_the_disk_on_both_processors_and_reloads_its_drivers(string flavour)
    {
        byte[] content = RandomNumberGenerator.GetBytes(32 << 20);
        await File.WriteAllBytesAsync(_image, content, Cancellation);
        string hash = Convert.ToHexStringLower(SHA256.HashData(content));
        GuestRun run = await GuestRun.BootAsync(
            Enum.Parse<KernelFlavour>(flavour),
            Wait + """
            sha256sum /dev/nvme0n1
            for cpu in 1 2; do taskset $cpu dd if=/dev/nvme0n1 of=/dev/null bs=64k count=64 iflag=direct 2>/dev/null; done
            echo "QUEUES $(count nvme0q1 0) $(count nvme0q2 1)"
            irq=$(awk -F: '/nvme0q0/ { print $1 + 0 }' /proc/interrupts)
            echo "BEFORE $(count nvme0q0 1)"
            echo 2 > /proc/irq/$irq/smp_affinity
            echo 1 > /sys/class/nvme/nvme0/rescan_controller
            sleep 1; echo "AFTER $(count nvme0q0 1)"
            tail -c 1048576 /bin/busybox > /tmp/data
            dd if=/tmp/data of=/dev/nvme0n1 bs=4k seek=1000 conv=notrunc 2>/dev/null; sync
            for i in 1 2 3 4 5 6 7 8 9 10; do
                echo 5600:00:00.0 > /sys/bus/pci/drivers/nvme/unbind || echo BROKEN
                echo 5600:00:00.0 > /sys/bus/pci/drivers/nvme/bind || echo BROKEN
                modprobe -r pci-hyperv || echo BROKEN; modprobe pci-hyperv; appear
            done
            dd if=/dev/nvme0n1 bs=4k skip=1000 count=256 2>/dev/null | cmp - /tmp/data && echo SAME
            dmesg | grep -E 'BUG:|WARNING:|hv_arch_irq_unmask|I/O error|timeout' && echo COMPLAINED
            """,
            o => o with { Engine = EngineKind.Software, Processors = 2, Disks = [new DiskOptions(_image, DiskController.Nvme, false)] },
            modules: s_modules);

        run.AssertPoweredOff().AssertPrinted(hash).AssertPrinted("SAME").AssertNotPrinted("BROKEN").AssertNotPrinted("COMPLAINED");
        Assert.DoesNotMatch(@"QUEUES (0 |\d+ 0\b)", run.Console);
        Assert.Matches(@"QUEUES \d+ \d+", run.Console);
        Assert.Matches("BEFORE 0", run.Console);
        Assert.Matches("AFTER [1-9]", run.Console);
        Assert.True(run.Statistics["hypercalls.HvCallRetargetInterrupt"] > 0);
        byte[] busybox = GuestPrograms.ReadBusybox(GuestRun.Packages);
        byte[] written = (await File.ReadAllBytesAsync(_image, Cancellation)).AsSpan(1000 * 4096, 1 << 20).ToArray();
        Assert.Equal(busybox[^(1 << 20)..], written);
    }

    [Fact]
    public async Task A_disk_is_ejected_while_it_is_read_and_comes_back()
    {
        await File.WriteAllBytesAsync(_image, RandomNumberGenerator.GetBytes(8 << 20), Cancellation);
        string hash = Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(_image, Cancellation)));
        ConsoleTap? console = null;
        Task driven = Task.CompletedTask;
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            Wait + """
            while dd if=/dev/nvme0n1 of=/dev/null bs=64k iflag=direct 2>/dev/null; do :; done &
            sleep 1; echo EJECT
            vanish 5600:00:00.0; wait; echo GONE
            appear; sha256sum /dev/nvme0n1
            while dd if=/dev/zero of=/dev/nvme0n1 bs=64k oflag=direct conv=notrunc 2>/dev/null; do :; done &
            sleep 1; echo AGAIN
            vanish 5600:00:00.0; wait; echo GONE AGAIN
            dmesg | grep -E 'BUG:|WARNING:' && echo COMPLAINED
            """,
            o => o with
            {
                Engine = EngineKind.Software,
                SerialOutput = console = new ConsoleTap(o.SerialOutput),
                Disks = [new DiskOptions(_image, DiskController.Nvme, false)],
            },
            started: vm => driven = DriveAsync(vm, console!),
            modules: s_modules);

        await driven;
        run.AssertPoweredOff().AssertPrinted(hash).AssertPrinted("GONE AGAIN").AssertNotPrinted("COMPLAINED");
    }

    private async Task DriveAsync(VirtualMachine vm, ConsoleTap console)
    {
        await console.WaitForAsync("EJECT");
        Assert.Equal(0, Assert.Single(vm.NvmeDisks).Index);
        Assert.True(await vm.RemoveNvmeDiskAsync(0));
        Assert.False(await vm.RemoveNvmeDiskAsync(0));
        Assert.Empty(vm.NvmeDisks);
        await console.WaitForAsync("GONE");
        Assert.Equal(0, vm.AddDisk(new DiskOptions(_image, DiskController.Nvme, false)));
        await console.WaitForAsync("AGAIN");
        Assert.True(await vm.RemoveNvmeDiskAsync(0));
    }
}

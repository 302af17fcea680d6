// Dynamic memory with Debian's hv_balloon: hot add, use of what was added, ballooning, ten reloads of the drivers, more hot add, reset.
using System.Globalization;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Vsp.Balloon;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class DynamicMemoryTests
{
    private const ulong MiB = 1 << 20;

    // hv_balloon has no module_exit, so it is unbound from its device instead.
    private const string Script = """
        total() { awk '/MemTotal/ { print $2 }' /proc/meminfo; }
        busyboxes() { i=0; while [ $i -lt 50 ]; do cat /bin/busybox; i=$((i+1)); done; }
        modprobe hv_vmbus; modprobe hv_utils; modprobe hv_balloon
        echo "READY $(total)"
        until [ $(total) -gt 600000 ]; do usleep 100000; done
        echo "GROWN $(total)"
        mount -t tmpfs -o size=200M tmpfs /mnt; busyboxes > /mnt/big; busyboxes | cmp - /mnt/big && echo INTACT
        umount /mnt; echo FREED
        until [ $(total) -lt 500000 ]; do usleep 100000; done
        echo "SHRUNK $(total)"
        until [ $(total) -gt 600000 ]; do usleep 100000; done
        cd /sys/bus/vmbus/drivers/hv_balloon; device=$(ls -d *-*); cd /
        i=0; while [ $i -lt 10 ]; do
            echo $device > /sys/bus/vmbus/drivers/hv_balloon/unbind || echo BROKEN
            rmmod hv_utils || echo BROKEN
            echo $device > /sys/bus/vmbus/drivers/hv_balloon/bind || echo BROKEN
            modprobe hv_utils || echo BROKEN
            i=$((i+1))
        done
        dmesg | grep -E 'BUG:|WARNING:|hot add failed' && echo COMPLAINED
        echo RELOADED
        until [ $(total) -gt 900000 ]; do usleep 100000; done
        echo "GROWN AGAIN $(total)"
        while :; do sleep 1; done
        """;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("Cloud", 2)]
    [InlineData("TrixieGeneric", 1)]
    public async Task Memory_comes_and_goes_while_the_guest_runs(string flavour, int processors)
    {
        ConsoleTap? console = null;
        Task driven = Task.CompletedTask;
        GuestRun run = await GuestRun.BootAsync(
            Enum.Parse<KernelFlavour>(flavour),
            Script,
            o => o with
            {
                Engine = EngineKind.Software,
                Processors = processors,
                MemoryBytes = 256 * MiB,
                MaximumMemoryBytes = 1024 * MiB,
                CommandLine = o.CommandLine + " memhp_default_state=online",
                SerialOutput = console = new ConsoleTap(o.SerialOutput),
            },
            started: vm => driven = StopOnFailureAsync(vm, DriveAsync(vm, console!)),
            modules: ["hv_vmbus", "hv_utils", "hv_balloon"]);

        await driven;
        run.AssertPoweredOff().AssertPrinted("INTACT").AssertNotPrinted("BROKEN").AssertNotPrinted("COMPLAINED");
    }

    private static async Task StopOnFailureAsync(VirtualMachine vm, Task work)
    {
        try
        {
            await work;
        }
        catch
        {
            vm.Stop();
            throw;
        }
    }

    private static async Task DriveAsync(VirtualMachine vm, ConsoleTap console)
    {
        BalloonVsp balloon = vm.Integration!.Balloon;
        long start = Kibibytes(await console.WaitForAsync("READY "));
        await RunningAsync(balloon);
        Assert.Equal(700 * MiB, await balloon.SetMemoryAsync(700 * MiB, Cancellation));
        Assert.Equal(768 * MiB, vm.MemoryBytes);
        long grown = Kibibytes(await console.WaitForAsync("GROWN "));
        Assert.InRange(grown - start, 400 << 10, 512 << 10);
        await console.WaitForAsync("FREED");
        long released = vm.Statistics.Snapshot()["balloon.released_pages"];
        // Not all it could spare: hv_balloon stops above a floor that depends on what its kernel takes.
        Assert.Equal(450 * MiB, await balloon.SetMemoryAsync(450 * MiB, Cancellation));
        Assert.InRange(vm.Statistics.Snapshot()["balloon.released_pages"] - released, (250L << 20) / 4096, (318L << 20) / 4096);
        await console.WaitForAsync("SHRUNK ");
        Assert.Equal(768 * MiB, await balloon.SetMemoryAsync(768 * MiB, Cancellation));
        await console.WaitForAsync("RELOADED");
        await RunningAsync(balloon);
        Assert.Equal(1024 * MiB, await balloon.SetMemoryAsync(1024 * MiB, Cancellation));
        await console.WaitForAsync("GROWN AGAIN ");

        // After a reset there is what firmware tells of, and it can grow again.
        int printed = console.Printed;
        await vm.Integration.Shutdown.WaitUntilRunningAsync(Cancellation).WaitAsync(TimeSpan.FromSeconds(60), Cancellation);
        await vm.Integration.Shutdown.RebootAsync(cancellation: Cancellation);
        // The kernel keeps a page more or less for itself from boot to boot.
        Assert.InRange(Kibibytes(await console.WaitForAsync("READY ", printed)), start - 64, start + 64);
        Assert.Equal(256 * MiB, vm.MemoryBytes);
        await RunningAsync(balloon);
        Assert.Equal(768 * MiB, await balloon.SetMemoryAsync(768 * MiB, Cancellation));
        await console.WaitForAsync("GROWN ", printed);
        await vm.Integration.Shutdown.WaitUntilRunningAsync(Cancellation).WaitAsync(TimeSpan.FromSeconds(60), Cancellation);
        await vm.Integration.Shutdown.ShutdownAsync(cancellation: Cancellation);
    }

    private static async Task RunningAsync(BalloonVsp balloon)
    {
        for (int i = 0; i < 600 && balloon.State != Sharpvisor.Vsp.Integration.IntegrationState.Running; i++)
        {
            await Task.Delay(100, Cancellation);
        }
    }

    private static long Kibibytes(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}

// The integration services against Debian's own hv_utils and hyperv-daemons.
using System.Diagnostics;
using System.Globalization;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Vsp.Integration;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class IntegrationTests : IDisposable
{
    private const int PauseSeconds = 8;

    private const string Script = """
        modprobe hv_vmbus; modprobe hv_storvsc; modprobe sd_mod; modprobe ext4
        until [ -b /dev/sda ]; do usleep 100000; done
        mount -t ext4 /dev/sda /mnt
        """ + "\n" + HyperVDaemons.Start + "\n" + """
        echo DAEMONS
        until [ -e /tmp/sent/ready ]; do usleep 100000; done
        sha256sum /tmp/sent/file
        echo "POOL $(tr '\000' ' ' < /var/lib/hyperv/.kvp_pool_0 | tr -s ' ')"
        until [ -e /tmp/sent/freeze ]; do usleep 100000; done
        (cp /bin/busybox /mnt/blocked; echo WRITTEN) &
        while :; do echo "CLOCK $(date +%s)"; sleep 1; done
        """;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private readonly string _disk = Path.GetTempFileName();

    public void Dispose() => File.Delete(_disk);

    [Fact]
    public async Task Debian_s_drivers_and_daemons_use_every_service()
    {
        using (FileStream file = File.OpenWrite(_disk))
        {
            file.SetLength(32 << 20);
        }

        using (Process format = Process.Start("/sbin/mkfs.ext4", ["-q", "-F", _disk]))
        {
            await format.WaitForExitAsync(Cancellation);
            Assert.Equal(0, format.ExitCode);
        }

        ConsoleTap? console = null;
        Task driven = Task.CompletedTask;
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            Script,
            o => o with
            {
                SerialOutput = console = new ConsoleTap(o.SerialOutput),
                Disks = [new DiskOptions(_disk, DiskController.Scsi, false)],
            },
            a => HyperVDaemons.AddTo(a, GuestRun.Packages),
            started: vm => driven = StopOnFailureAsync(vm, DriveAsync(vm, console!)));

        await driven;
        run.AssertPoweredOff().AssertPrinted("WRITTEN");
    }

    [Fact]
    public async Task A_guest_finds_only_the_devices_that_are_not_left_out()
    {
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            "modprobe hv_vmbus; until [ $(ls /sys/bus/vmbus/devices | wc -l) -ge 2 ]; do usleep 20000; done; for d in /sys/bus/vmbus/devices/*; do echo \"DEVICE $(cat $d/class_id)\"; done",
            o => o with { Engine = EngineKind.Software, Services = IntegrationServices.Heartbeat, Console = ConsoleDevices.None },
            modules: ["hv_vmbus"]);

        run.AssertPoweredOff().AssertPrinted("DEVICE {57164f39-9115-4e78-ab55-382f3bd5422d}").AssertPrinted("DEVICE {ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}");
        Assert.Equal(2, run.Console.Split("DEVICE {").Length - 1);
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
        VmIntegration services = vm.Integration!;
        await console.WaitForAsync("DAEMONS");
        foreach ((_, IntegrationService service) in services.Services)
        {
            await service.WaitUntilRunningAsync(Cancellation).WaitAsync(TimeSpan.FromSeconds(60), Cancellation);
        }

        await ExchangePairsAsync(services.Kvp);
        byte[] content = new byte[100_000];
        new Random(7).NextBytes(content);
        await services.FileCopy.CopyAsync(new MemoryStream(content), "/tmp/sent/file", createDirectories: true, cancellation: Cancellation);
        IntegrationException exists = await Assert.ThrowsAsync<IntegrationException>(
            () => services.FileCopy.CopyAsync(new MemoryStream(content), "/tmp/sent/file", cancellation: Cancellation));
        Assert.Equal(IcStatus.AlreadyExists, exists.Status);
        await services.FileCopy.CopyAsync(Stream.Null, "/tmp/sent/ready", cancellation: Cancellation);
        await console.WaitForAsync(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(content)));
        Assert.Equal("from-host größer als 0", await console.WaitForAsync("POOL "));

        // The flags stay 0: hv_vss_daemon's answer overlays the operation that hv_snapshot.c sets them for.
        _ = await services.Vss.CheckHotBackupAsync(Cancellation);
        await services.Vss.FreezeAsync(Cancellation);
        await services.FileCopy.CopyAsync(Stream.Null, "/tmp/sent/freeze", cancellation: Cancellation);
        await console.WaitForAsync("CLOCK ");
        await PauseAsync(vm, console);
        int thawed = console.Printed;
        await services.Vss.ThawAsync(Cancellation);
        await console.WaitForAsync("WRITTEN", thawed);

        Assert.Equal(HeartbeatState.Healthy, services.Heartbeat.Health);
        Assert.True(services.Heartbeat.Sequence > 0);
        await services.Shutdown.ShutdownAsync(cancellation: Cancellation);
    }

    private static async Task ExchangePairsAsync(KvpVsp kvp)
    {
        await kvp.SetAsync(KvpPool.External, "gone", "soon", Cancellation);
        await kvp.SetAsync(KvpPool.External, "from-host", "größer als 0", Cancellation);
        Assert.True(await kvp.DeleteAsync(KvpPool.External, "gone", Cancellation));
        Assert.False(await kvp.DeleteAsync(KvpPool.External, "gone", Cancellation));
        Assert.Equal("größer als 0", await kvp.GetAsync(KvpPool.External, "from-host", Cancellation));
        Assert.Null(await kvp.GetAsync(KvpPool.External, "other", Cancellation));
        Assert.Equal("Debian GNU/Linux", await kvp.GetAsync(KvpPool.Auto, "OSName", Cancellation));
        Assert.Equal("x86_64", await kvp.GetAsync(KvpPool.Auto, "ProcessorArchitecture", Cancellation));
    }

    // Without the service the guest's clock would lag by the pause for good.
    private static async Task PauseAsync(VirtualMachine vm, ConsoleTap console)
    {
        Assert.True(vm.Pause());
        Assert.False(vm.Pause());
        await Task.Delay(TimeSpan.FromSeconds(PauseSeconds), Cancellation);
        Assert.True(vm.Resume());
        long lag = long.MaxValue;
        for (int i = 0; i < 30 && Math.Abs(lag) > PauseSeconds / 2; i++)
        {
            string clock = await console.WaitForAsync("CLOCK ", console.Printed);
            lag = DateTimeOffset.UtcNow.ToUnixTimeSeconds() - long.Parse(clock, CultureInfo.InvariantCulture);
        }

        Assert.InRange(lag, -PauseSeconds / 2, PauseSeconds / 2);
    }
}

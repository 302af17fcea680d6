// A guest with nothing to do costs the host next to nothing: HLT sleeps, and nothing in the worker polls.
using System.Diagnostics;
using System.Globalization;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Worker.Tests.CommandLine;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class IdleTests : IDisposable
{
    private const int Seconds = 8;
    private readonly string _initrd = Path.GetTempFileName();

    public void Dispose() => File.Delete(_initrd);

    [Theory]
    [InlineData(4, "on")]
    [InlineData(2, "off")]
    public async Task An_idle_guest_uses_under_three_percent_of_a_core(int processors, string integration)
    {
        LinuxGuest guest = GuestRun.Guest(KernelFlavour.Cloud);
        string load = integration == "on" ? "modprobe hv_vmbus; modprobe hv_storvsc; modprobe hv_utils" : "modprobe ata_piix";
        await File.WriteAllBytesAsync(
            _initrd, guest.BuildInitramfs(load + "; sleep 2; echo IDLE; sleep 1000"), TestContext.Current.CancellationToken);

        using Process process = CommandLineRun.Start(
            "run", "--kernel", guest.KernelPath, "--initrd", _initrd, "--append", "console=ttyS0",
            "--processors", processors.ToString(CultureInfo.InvariantCulture), "--integration", integration, "--timeout", "300s");
        try
        {
            while (await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken) is { } line
                && !line.Contains("IDLE", StringComparison.Ordinal))
            {
            }

            TimeSpan before = process.TotalProcessorTime;
            long start = Stopwatch.GetTimestamp();
            await Task.Delay(TimeSpan.FromSeconds(Seconds), TestContext.Current.CancellationToken);
            process.Refresh();
            Assert.False(process.HasExited, "the guest ended");
            double share = (process.TotalProcessorTime - before) / Stopwatch.GetElapsedTime(start);

            TestContext.Current.TestOutputHelper?.WriteLine($"{share:p2} of a core");
            Assert.True(share < 0.03, $"{share:p2} of a core");
        }
        finally
        {
            process.Kill();
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        }
    }
}

// Guests that write garbage into every ring, message, MSR and device register: the worker neither crashes nor hangs, whatever
// becomes of the guest. SHARPVISOR_FUZZ_SECONDS and SHARPVISOR_FUZZ_SEED make it longer and different.
using System.Diagnostics;
using System.Globalization;
using Xunit;

namespace Sharpvisor.Worker.Tests.Hostile;

public sealed class HostileGuestTests : IDisposable
{
    private const int DefaultSeconds = 12;
    private const string StuckGuest = "stuck guest";
    private const int MaxSliceSeconds = 4;
    private const int QuietSeconds = 2;
    private static readonly TimeSpan s_stopLimit = TimeSpan.FromSeconds(20);
    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_guest_that_writes_garbage_everywhere_neither_crashes_nor_hangs_its_worker()
    {
        int seconds = Setting("SHARPVISOR_FUZZ_SECONDS", DefaultSeconds);
        int seed = Setting("SHARPVISOR_FUZZ_SEED", 1);
        var time = Stopwatch.StartNew();
        var totals = new SortedDictionary<string, long>(StringComparer.Ordinal);
        var outcomes = new SortedDictionary<string, int>(StringComparer.Ordinal);
        long memory = 0;
        for (int round = 0; time.Elapsed < TimeSpan.FromSeconds(seconds); round++)
        {
            string outcome = await RunAsync(seed + round, totals);
            outcomes[outcome] = outcomes.GetValueOrDefault(outcome) + 1;
            long used = Environment.WorkingSet >> 20;
            memory = Math.Max(memory, used);
            Assert.True(used < 3000, $"seed {seed + round}: the process holds {used} MiB");
        }

        string summary = string.Join(", ", outcomes.Select(o => $"{o.Value} x {o.Key}"));
        string counters = string.Join("\n", totals.Select(t => $"  {t.Key} {t.Value}"));
        TestContext.Current.TestOutputHelper?.WriteLine($"first seed {seed}, {summary}, at most {memory} MiB\n{counters}");

        // The garbage gets somewhere.
        Assert.True(totals.GetValueOrDefault("intercepts") > 1000);
        Assert.True(totals.GetValueOrDefault("hypercalls") > 1000);
        Assert.True(totals.GetValueOrDefault("vmbus.messages_in") > 100);
        Assert.True(totals.GetValueOrDefault("storage.scsi0.requests") > 0);
    }

    /// <summary>One guest until it ends, no longer does anything, or has had its time.</summary>
    private async Task<string> RunAsync(int seed, SortedDictionary<string, long> totals)
    {
        // Kept under this name, a guest can be looked at with sharpvisor run --kernel IMAGE --trace FILE.
        string kernel = Environment.GetEnvironmentVariable("SHARPVISOR_FUZZ_IMAGE") ?? Path.Combine(_directory, "guest");
        await File.WriteAllBytesAsync(kernel, FuzzScript.BuildImage(seed));
        string log = Path.Combine(AppContext.BaseDirectory, "fuzz-seed");
        // Should the process die, this says of what.
        await File.WriteAllTextAsync(log, seed.ToString(CultureInfo.InvariantCulture));
        var failures = new FailureSink();
        var vm = VirtualMachine.Create(new VmOptions
        {
            KernelPath = kernel,
            Trace = failures,
            // The exit port and the configuration device, now and then.
            DebugExit = seed % 4 == 0,
            MemoryBytes = 64 << 20,
            Processors = 2,
            Disks =
            [
                new DiskOptions(Image("ide.img"), DiskController.Ide, false),
                new DiskOptions(Image("second.img"), DiskController.Ide, true),
                new DiskOptions(Iso(), DiskController.Ide, true),
                new DiskOptions(Image("scsi.img"), DiskController.Scsi, false),
                new DiskOptions(Iso(), DiskController.Scsi, true),
            ],
        });
        vm.Start();
        string outcome = await WatchAsync(vm);
        if (outcome == StuckGuest)
        {
            TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}: nothing for {QuietSeconds} s: {string.Join("; ", vm.DescribeProcessors())}");
        }

        Task stop = Task.Run(() =>
        {
            vm.Stop();
            vm.Dispose();
        });
        bool isStopped = await Task.WhenAny(stop, Task.Delay(s_stopLimit)) == stop;
        Assert.True(isStopped, $"seed {seed}: the worker hangs, it cannot be stopped");
        await stop;
        VmResult result = await vm.Completion;
        Assert.False(result.Message.Contains("the worker failed", StringComparison.Ordinal), $"seed {seed}: {result.Message}");
        Assert.True(failures.Text is null, $"seed {seed}: {failures.Text}");
        foreach ((string name, long value) in vm.Statistics.Snapshot())
        {
            string group = name.StartsWith("vmbus", StringComparison.Ordinal) || name.StartsWith("storage", StringComparison.Ordinal) ? name : name.Split('.')[0];
            totals[group] = totals.GetValueOrDefault(group) + value;
        }

        return outcome == "" ? $"{result.Kind} ({result.Message})" : outcome;
    }

    /// <summary>Empty when the guest ended by itself.</summary>
    private static async Task<string> WatchAsync(VirtualMachine vm)
    {
        long last = -1;
        int quiet = 0;
        for (int i = 0; i < MaxSliceSeconds || quiet > 0; i++)
        {
            if (await Task.WhenAny(vm.Completion, Task.Delay(1000)) == vm.Completion)
            {
                return "";
            }

            long now = vm.Statistics.Snapshot().Sum(s => s.Value);
            quiet = now == last ? quiet + 1 : 0;
            if (quiet == QuietSeconds)
            {
                return StuckGuest;
            }

            last = now;
        }

        return "still busy";
    }

    /// <summary>A channel whose handler throws is closed and the VM goes on: here that is a failure.</summary>
    private sealed class FailureSink : Core.ITraceSink
    {
        public bool IsEnabled => false;

        public string? Text { get; private set; }

        public void Line(string text)
        {
            if (text.Contains(" failed: ", StringComparison.Ordinal))
            {
                Text = text;
            }
        }
    }

    private static int Setting(string name, int standard) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out int value) ? value : standard;

    private string Image(string name)
    {
        string path = Path.Combine(_directory, name);
        using FileStream file = File.Open(path, FileMode.OpenOrCreate);
        file.SetLength(8 << 20);
        return path;
    }

    private string Iso()
    {
        string path = Path.Combine(_directory, "dvd.iso");
        if (!File.Exists(path))
        {
            File.WriteAllBytes(path, Guests.IsoImage.Create(("DATA.BIN", new byte[300_000])));
        }

        return path;
    }
}

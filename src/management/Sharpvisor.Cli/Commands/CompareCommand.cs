// sharpvisor compare: the same guest without and with its integration components.
using System.CommandLine;
using Sharpvisor.Cli.Comparison;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Cli.Options;
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Commands;

internal static class CompareCommand
{
    public static Command Create()
    {
        var options = new VmCommandOptions();
        var command = new Command("compare", "Boot the same guest without and with its integration components and print what each costs");
        options.AddTo(command);
        command.SetAction((parsed, stop) => CommandErrors.GuardAsync(() =>
        {
            VmOptions vm = options.ToVmOptions(parsed);
            var packages = new DebianPackages(DebianPackages.DefaultCacheDirectory, Progress);
            return CompareAsync(vm, packages, options.Timeout(parsed), stop);
        }));
        return command;
    }

    /// <summary>Runs the comparison and prints its table on stdout.</summary>
    public static async Task<int> CompareAsync(VmOptions vm, DebianPackages packages, TimeSpan? timeout, CancellationToken stop)
    {
        try
        {
            var comparison = new DiskComparison(vm, packages, timeout, Progress);
            (IReadOnlyDictionary<string, WorkMeasurement> emulated, IReadOnlyDictionary<string, WorkMeasurement> synthetic) =
                await comparison.MeasureAsync(stop);
            Console.Write(ComparisonReport.Format(emulated, synthetic));
            return ExitStatus.Success;
        }
        catch (ComparisonException e)
        {
            await Console.Error.WriteLineAsync($"sharpvisor: {e.Message}");
            return ExitStatus.Failed;
        }
    }

    /// <summary>Progress for a person: one line a step, on stderr.</summary>
    public static void Progress(string step) => Console.Error.WriteLine($"[{TimeSpan.FromMilliseconds(Environment.TickCount64 - s_start).TotalSeconds,6:0.0} s] {step}");

    private static readonly long s_start = Environment.TickCount64;
}

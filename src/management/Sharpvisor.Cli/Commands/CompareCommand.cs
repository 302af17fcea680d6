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
            if (vm.Networks.FirstOrDefault(n => n.Network != "user") is { } other)
            {
                throw new VmConfigurationException($"--net {other.Network}: compare measures --net user only");
            }

            var packages = new DebianPackages(DebianPackages.DefaultCacheDirectory, Progress);
            return CompareAllAsync(vm, packages, options.Timeout(parsed), stop);
        }));
        return command;
    }

    private static async Task<int> CompareAllAsync(VmOptions vm, DebianPackages packages, TimeSpan? timeout, CancellationToken stop)
    {
        int status = await CompareAsync(vm, packages, timeout, stop);
        return status == ExitStatus.Success && vm.Networks.Count > 0 ? await CompareNetworkAsync(vm, packages, timeout, stop) : status;
    }

    /// <summary>Runs the comparison of disks and prints its table on stdout.</summary>
    public static Task<int> CompareAsync(VmOptions vm, DebianPackages packages, TimeSpan? timeout, CancellationToken stop) =>
        PrintAsync(async () =>
        {
            (IReadOnlyDictionary<string, WorkMeasurement> emulated, IReadOnlyDictionary<string, WorkMeasurement> synthetic) =
                await new DiskComparison(vm with { Networks = [] }, packages, timeout, Progress).MeasureAsync(stop);
            return ComparisonReport.Format(emulated, synthetic);
        });

    /// <summary>Runs the comparison of network cards and prints its table. The VM has one card, on passt's network.</summary>
    public static Task<int> CompareNetworkAsync(VmOptions vm, DebianPackages packages, TimeSpan? timeout, CancellationToken stop) =>
        PrintAsync(async () =>
        {
            (IReadOnlyDictionary<string, WorkMeasurement> legacy, IReadOnlyDictionary<string, WorkMeasurement> synthetic) =
                await new NetworkComparison(vm, packages, timeout, Progress).MeasureAsync(stop);
            return $"\n{NetworkReport.Format(legacy, synthetic)}";
        });

    private static async Task<int> PrintAsync(Func<Task<string>> measure)
    {
        try
        {
            Console.Write(await measure());
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

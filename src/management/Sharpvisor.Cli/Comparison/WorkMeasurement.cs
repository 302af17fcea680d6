// What one work cost on one path: the guest's own time, and the difference of the worker's counters around it.
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Comparison;

internal sealed record WorkMeasurement(
    long Requests, long Bytes, TimeSpan Elapsed, TimeSpan HostCpu, IReadOnlyDictionary<string, long> Counters)
{
    public double MegabytesPerSecond => Bytes / 1e6 / Elapsed.TotalSeconds;

    public double RequestsPerSecond => Requests / Elapsed.TotalSeconds;

    public double HostCpuMicroseconds => HostCpu.TotalMicroseconds / Requests;

    public double Intercepts => PerRequest(StatisticNames.Intercepts);

    public double Hypercalls => PerRequest(StatisticNames.Hypercalls);

    public double Signals => (double)Counters
        .Where(c => c.Key.StartsWith(StatisticNames.VmBus, StringComparison.Ordinal) && c.Key.EndsWith(StatisticNames.Signals, StringComparison.Ordinal))
        .Sum(c => c.Value) / Requests;

    public double Interrupts => PerRequest(StatisticNames.Interrupts);

    /// <summary>Sum of all counters whose name starts with a prefix, for one request.</summary>
    public double PerRequest(string prefix) => (double)Counters
        .Where(c => c.Key.StartsWith(prefix, StringComparison.Ordinal)).Sum(c => c.Value) / Requests;
}

// Boots one guest twice, with a legacy card and without integration components, then with a synthetic card and with them, on the same
// network, and measures the works.
using System.Globalization;
using Sharpvisor.Cli.Commands;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Comparison;

internal sealed class NetworkComparison(VmOptions guest, DebianPackages packages, TimeSpan? timeout, Action<string> progress)
{
    /// <returns>Measurements by work key: legacy, then synthetic.</returns>
    public async Task<(IReadOnlyDictionary<string, WorkMeasurement> Legacy, IReadOnlyDictionary<string, WorkMeasurement> Synthetic)>
        MeasureAsync(CancellationToken stop)
    {
        using var peer = new NetworkPeer();
        byte[] workload = NetworkArchive.Build(packages, peer.Port);
        return (await MeasureAsync(NetworkCardKind.Legacy, workload, stop), await MeasureAsync(NetworkCardKind.Synthetic, workload, stop));
    }

    private async Task<IReadOnlyDictionary<string, WorkMeasurement>> MeasureAsync(
        NetworkCardKind kind, byte[] workload, CancellationToken stop)
    {
        string path = kind == NetworkCardKind.Synthetic ? "synthetic network card" : "legacy network card";
        progress($"{path}: booting");
        var recorder = new PhaseRecorder(key => progress($"{path}: {NetworkWork.All.FirstOrDefault(w => w.Key == key)?.Title ?? key}"));
        using VirtualMachine vm = VirtualMachine.Create(guest with
        {
            ExtraInitrd = workload,
            Integration = kind == NetworkCardKind.Synthetic,
            Networks = [guest.Networks[0] with { Kind = kind }],
            CommandLine = $"{guest.CommandLine} console=ttyS0 panic=-1 rdinit={WorkloadArchive.InitPath}".Trim(),
            SerialOutput = recorder,
        });
        recorder.Vm = vm;
        VmRunOutcome outcome = await VmRun.ToEndAsync(vm, timeout, stop);
        if (recorder.GuestError is { } error)
        {
            throw new ComparisonException($"{path}: {error}");
        }

        if (outcome.ExitStatus != ExitStatus.Success || recorder.Measurements.Count != NetworkWork.All.Count)
        {
            throw new ComparisonException(string.Create(
                CultureInfo.InvariantCulture,
                $"{path}: the guest ended after {recorder.Measurements.Count} of {NetworkWork.All.Count} works; its last words: {string.Join(" | ", recorder.LastLines)}"));
        }

        return recorder.Measurements;
    }
}

// Boots one guest twice, without and with its integration components, on the same disk content, and measures the works.
using System.Globalization;
using Sharpvisor.Cli.Commands;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Comparison;

/// <summary>A comparison could not be made; the message says on which path and why.</summary>
internal sealed class ComparisonException(string message) : Exception(message);

internal sealed class DiskComparison(VmOptions guest, DebianPackages packages, TimeSpan? timeout, Action<string> progress)
{
    /// <returns>Measurements by work key: emulated, then synthetic.</returns>
    public async Task<(IReadOnlyDictionary<string, WorkMeasurement> Emulated, IReadOnlyDictionary<string, WorkMeasurement> Synthetic)>
        MeasureAsync(CancellationToken stop)
    {
        byte[] workload = WorkloadArchive.Build(packages);
        string scratch = Path.Combine(Path.GetTempPath(), $"sharpvisor-compare-{Environment.ProcessId}.img");
        try
        {
            IReadOnlyDictionary<string, WorkMeasurement> emulated = await MeasureAsync(integration: false, workload, scratch, stop);
            IReadOnlyDictionary<string, WorkMeasurement> synthetic = await MeasureAsync(integration: true, workload, scratch, stop);
            return (emulated, synthetic);
        }
        finally
        {
            File.Delete(scratch);
        }
    }

    private async Task<IReadOnlyDictionary<string, WorkMeasurement>> MeasureAsync(
        bool integration, byte[] workload, string scratch, CancellationToken stop)
    {
        string path = integration ? "with integration components" : "without integration components";
        progress($"{path}: booting");
        WriteScratch(scratch);
        var recorder = new PhaseRecorder(
            key => progress($"{path}: {DiskWork.All.FirstOrDefault(w => w.Key == key)?.Title ?? key}"));
        using VirtualMachine vm = VirtualMachine.Create(guest with
        {
            ExtraInitrd = workload,
            Integration = integration,
            Disks = [.. guest.Disks, new DiskOptions(scratch, DiskController.Ide, ReadOnly: false)],
            CommandLine = $"{guest.CommandLine} console=ttyS0 panic=-1 rdinit={WorkloadArchive.InitPath}".Trim(),
            SerialOutput = recorder,
        });
        recorder.Vm = vm;
        VmRunOutcome outcome = await VmRun.ToEndAsync(vm, timeout, stop);
        if (recorder.GuestError is { } error)
        {
            throw new ComparisonException($"{path}: {error}");
        }

        if (outcome.ExitStatus != ExitStatus.Success || recorder.Measurements.Count != DiskWork.All.Count)
        {
            throw new ComparisonException(string.Create(
                CultureInfo.InvariantCulture,
                $"{path}: the guest ended after {recorder.Measurements.Count} of {DiskWork.All.Count} works; its last words: {string.Join(" | ", recorder.LastLines)}"));
        }

        return recorder.Measurements;
    }

    /// <summary>Makes the disk. All boots start from the same bytes; random ones, so that nothing on the way can take a short cut for zeros.</summary>
    public static void WriteScratch(string path)
    {
        try
        {
            using var file = new FileStream(path, FileMode.Create, FileAccess.Write);
            var random = new Random(1);
            byte[] block = new byte[1 << 20];
            for (long left = DiskWork.ScratchBytes; left > 0; left -= block.Length)
            {
                random.NextBytes(block);
                file.Write(block, 0, (int)Math.Min(left, block.Length));
            }
        }
        catch (IOException e)
        {
            throw new ComparisonException($"{path}: {e.Message}");
        }
    }
}

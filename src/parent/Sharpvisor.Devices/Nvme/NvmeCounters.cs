using Sharpvisor.Core;

namespace Sharpvisor.Devices.Nvme;

/// <summary>Counters named <c>storage.nvmeN.…</c>.</summary>
internal sealed class NvmeCounters(Statistics statistics, int index)
{
    public Counter Requests { get; } = statistics[$"storage.nvme{index}.requests"];

    public Counter Failures { get; } = statistics[$"storage.nvme{index}.failures"];

    public Counter BytesRead { get; } = statistics[$"storage.nvme{index}.bytes_read"];

    public Counter BytesWritten { get; } = statistics[$"storage.nvme{index}.bytes_written"];

    public Counter Interrupts { get; } = statistics[$"storage.nvme{index}.interrupts"];
}

// Guest memory registered with a GPADL, scattered over pages, seen as one block.
using Sharpvisor.Core;

namespace Sharpvisor.VMBus;

/// <summary>A GPADL's memory. Thread-safe; addresses are checked at each access.</summary>
public sealed class GpadlView
{
    private readonly GuestMemory _memory;
    private readonly GpaRangeList _ranges;

    internal GpadlView(GuestMemory memory, GpaRangeList ranges)
    {
        _memory = memory;
        _ranges = ranges;
    }

    /// <summary>Length of the block.</summary>
    public long Bytes => _ranges.TotalBytes;

    /// <summary>Copies out; false when it does not lie inside, or the guest's pages are no memory.</summary>
    public bool TryRead(long offset, Span<byte> destination) => _ranges.TryRead(_memory, offset, destination);

    /// <summary>Copies in; false when it does not lie inside, or the guest's pages are no memory.</summary>
    public bool TryWrite(long offset, ReadOnlySpan<byte> source) => _ranges.TryWrite(_memory, offset, source);

    /// <summary>Appends host views for direct I/O; see <see cref="GpaRangeList.TryMap(GuestMemory, long, long, SegmentList)"/>.</summary>
    public bool TryMap(long offset, long bytes, SegmentList segments) => _ranges.TryMap(_memory, offset, bytes, segments);

    /// <summary>After writing through <see cref="TryMap"/>.</summary>
    public void NotifyWrite(long offset, long bytes) => _ranges.NotifyWrite(_memory, offset, bytes);
}

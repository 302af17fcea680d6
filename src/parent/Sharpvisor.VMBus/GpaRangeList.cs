// Guest memory named by a GPA-direct packet (include/linux/hyperv.h, struct gpa_range), copied out of the ring and pooled.
using Sharpvisor.Core;

namespace Sharpvisor.VMBus;

/// <summary>
/// The ranges of one packet. Offsets below are within the concatenation of all ranges. Every method checks the guest's addresses and
/// returns false for memory that is not there. Not thread-safe; dispose to return it to its pool.
/// </summary>
public sealed class GpaRangeList : IDisposable
{
    private const int MaxPooled = 64;
    private readonly Stack<GpaRangeList>? _pool;
    private GpaRange[] _ranges = new GpaRange[4];
    private ulong[] _pfns = new ulong[64];
    private int _pfnCount;

    /// <summary>An empty list that belongs to no pool (for tests and for VSPs that make their own).</summary>
    public GpaRangeList()
    {
    }

    internal GpaRangeList(Stack<GpaRangeList> pool) => _pool = pool;

    /// <summary>Number of ranges.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes in all ranges together.</summary>
    public long TotalBytes { get; private set; }

    public ReadOnlySpan<GpaRange> Ranges => _ranges.AsSpan(0, Count);

    /// <summary>The page numbers of all ranges, in order.</summary>
    public ReadOnlySpan<ulong> Pfns => _pfns.AsSpan(0, _pfnCount);

    /// <summary>The number of pages a range touches.</summary>
    public static int PagesSpanned(uint byteCount, uint byteOffset) =>
        (int)(((ulong)byteCount + byteOffset + (GuestMemory.PageBytes - 1)) >> GuestMemory.PageShift);

    /// <summary>Forgets all ranges.</summary>
    public void Clear()
    {
        Count = 0;
        TotalBytes = 0;
        _pfnCount = 0;
    }

    /// <summary>Appends a range. False when the offset is not within a page or the number of pages does not fit the length.</summary>
    public bool TryAdd(uint byteCount, uint byteOffset, ReadOnlySpan<ulong> pfns)
    {
        if (byteOffset >= GuestMemory.PageBytes || PagesSpanned(byteCount, byteOffset) != pfns.Length)
        {
            return false;
        }

        AddCore(byteCount, byteOffset, pfns);
        return true;
    }

    /// <summary>
    /// Appends host views of [offset, offset + bytes) to <paramref name="segments"/>, adjacent pages merged, for direct I/O. False (and
    /// nothing promised about the list) when a page is not plain RAM. After I/O into it, call <see cref="NotifyWrite"/>.
    /// </summary>
    public bool TryMap(GuestMemory memory, long offset, long bytes, SegmentList segments)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(segments);
        var runs = new RunEnumerator(this, offset, bytes);
        while (runs.MoveNext())
        {
            if (!memory.TryGetMemory(runs.Gpa, runs.Bytes, out Memory<byte> view))
            {
                return false;
            }

            segments.Add(view);
        }

        return runs.Complete;
    }

    /// <summary>Tells the engines that [offset, offset + bytes) was written through a mapping.</summary>
    public void NotifyWrite(GuestMemory memory, long offset, long bytes)
    {
        ArgumentNullException.ThrowIfNull(memory);
        var runs = new RunEnumerator(this, offset, bytes);
        while (runs.MoveNext())
        {
            // A page number of the guest's may lie anywhere; GuestMemory clamps only the end.
            if (runs.Gpa >> GuestMemory.PageShift < memory.PageCount)
            {
                memory.NotifyWrite(runs.Gpa, (ulong)runs.Bytes);
            }
        }
    }

    /// <summary>Copies guest memory out, starting at <paramref name="offset"/>. Works for any readable memory, overlay pages too.</summary>
    public bool TryRead(GuestMemory memory, long offset, Span<byte> destination)
    {
        ArgumentNullException.ThrowIfNull(memory);
        var runs = new RunEnumerator(this, offset, destination.Length);
        while (runs.MoveNext())
        {
            if (!memory.TryRead(runs.Gpa, destination[..runs.Bytes]))
            {
                return false;
            }

            destination = destination[runs.Bytes..];
        }

        return runs.Complete;
    }

    /// <summary>Copies into guest memory, starting at <paramref name="offset"/>.</summary>
    public bool TryWrite(GuestMemory memory, long offset, ReadOnlySpan<byte> source)
    {
        ArgumentNullException.ThrowIfNull(memory);
        var runs = new RunEnumerator(this, offset, source.Length);
        while (runs.MoveNext())
        {
            if (!memory.TryWrite(runs.Gpa, source[..runs.Bytes]))
            {
                return false;
            }

            source = source[runs.Bytes..];
        }

        return runs.Complete;
    }

    /// <summary>Returns the list to its pool.</summary>
    public void Dispose()
    {
        Clear();
        if (_pool is null)
        {
            return;
        }

        lock (_pool)
        {
            if (_pool.Count < MaxPooled)
            {
                _pool.Push(this);
            }
        }
    }

    internal static GpaRangeList Rent(Stack<GpaRangeList> pool)
    {
        lock (pool)
        {
            return pool.TryPop(out GpaRangeList? list) ? list : new GpaRangeList(pool);
        }
    }

    /// <summary>Appends a range within a transfer page set: its offset is not one within a page, and it has no page numbers.</summary>
    internal void AddTransferRange(uint byteCount, uint byteOffset) => AddCore(byteCount, byteOffset, default);

    private void AddCore(uint byteCount, uint byteOffset, ReadOnlySpan<ulong> pfns)
    {
        if (Count == _ranges.Length)
        {
            Array.Resize(ref _ranges, Count * 2);
        }

        if (_pfnCount + pfns.Length > _pfns.Length)
        {
            Array.Resize(ref _pfns, Math.Max(_pfns.Length * 2, _pfnCount + pfns.Length));
        }

        pfns.CopyTo(_pfns.AsSpan(_pfnCount));
        _ranges[Count++] = new GpaRange(byteCount, byteOffset, _pfnCount, pfns.Length);
        _pfnCount += pfns.Length;
        TotalBytes += byteCount;
    }

    /// <summary>Walks an extent of the list as runs of adjacent guest pages, none longer than 1 MiB.</summary>
    private ref struct RunEnumerator
    {
        private const int MaxRunBytes = 1 << 20;
        private const ulong BlockPageMask = (128UL << 20 >> GuestMemory.PageShift) - 1;
        private readonly GpaRangeList _list;
        private long _skip;
        private long _left;
        private int _range;

        public RunEnumerator(GpaRangeList list, long offset, long bytes)
        {
            _list = list;
            _skip = offset;
            // An extent outside the list yields nothing and is never complete.
            _left = offset >= 0 && bytes >= 0 && bytes <= list.TotalBytes - offset ? bytes : -1;
        }

        public ulong Gpa { get; private set; }

        public int Bytes { get; private set; }

        public readonly bool Complete => _left == 0;

        public bool MoveNext()
        {
            while (_left > 0 && _range < _list.Count)
            {
                GpaRange range = _list._ranges[_range];
                if (_skip >= range.ByteCount)
                {
                    _skip -= range.ByteCount;
                    _range++;
                    continue;
                }

                return TakeRun(range);
            }

            return false;
        }

        private bool TakeRun(GpaRange range)
        {
            long start = range.ByteOffset + _skip;
            int page = (int)(start >> GuestMemory.PageShift);
            if (page >= range.PfnCount)
            {
                return false;
            }

            long limit = Math.Min(Math.Min(range.ByteCount - _skip, _left), MaxRunBytes);
            int offset = (int)(start & (GuestMemory.PageBytes - 1));
            ulong first = _list._pfns[range.FirstPfn + page];
            if (first > ulong.MaxValue >> GuestMemory.PageShift)
            {
                return false;
            }

            long bytes = GuestMemory.PageBytes - offset;
            for (ulong next = first + 1; bytes < limit && ++page < range.PfnCount; next++)
            {
                // GuestMemory hands out blocks within chunks of its RAM; their ends lie on multiples of 128 MiB.
                if (_list._pfns[range.FirstPfn + page] != next || (next & BlockPageMask) == 0)
                {
                    break;
                }

                bytes += GuestMemory.PageBytes;
            }

            Bytes = (int)Math.Min(bytes, limit);
            Gpa = (first << GuestMemory.PageShift) + (uint)offset;
            _skip += Bytes;
            _left -= Bytes;
            return true;
        }
    }
}

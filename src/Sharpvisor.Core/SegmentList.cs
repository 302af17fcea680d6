// The scatter/gather list of one disk request: pieces of guest memory that a controller or VSP collected.
using System.Collections;

namespace Sharpvisor.Core;

/// <summary>
/// A reusable list of memory segments. It is both list types <see cref="IDisk"/> takes, so that a request needs no copy of
/// its list. Not thread-safe: it belongs to one request at a time.
/// </summary>
public sealed class SegmentList : IReadOnlyList<Memory<byte>>, IReadOnlyList<ReadOnlyMemory<byte>>
{
    private Memory<byte>[] _segments = new Memory<byte>[8];

    /// <summary>Number of segments.</summary>
    public int Count { get; private set; }

    /// <summary>Sum of the segments' lengths.</summary>
    public long Bytes { get; private set; }

    /// <inheritdoc/>
    public Memory<byte> this[int index] => _segments.AsSpan(0, Count)[index];

    ReadOnlyMemory<byte> IReadOnlyList<ReadOnlyMemory<byte>>.this[int index] => this[index];

    /// <summary>Forgets all segments, and with them the memory they referred to.</summary>
    public void Clear()
    {
        Array.Clear(_segments, 0, Count);
        Count = 0;
        Bytes = 0;
    }

    /// <summary>Appends a segment; empty ones are dropped.</summary>
    public void Add(Memory<byte> segment)
    {
        if (segment.IsEmpty)
        {
            return;
        }

        if (Count == _segments.Length)
        {
            Array.Resize(ref _segments, Count * 2);
        }

        _segments[Count++] = segment;
        Bytes += segment.Length;
    }

    /// <summary>Drops what lies beyond the first <paramref name="bytes"/> bytes.</summary>
    public void Truncate(long bytes)
    {
        while (Bytes > bytes)
        {
            ref Memory<byte> last = ref _segments[Count - 1];
            long excess = Bytes - bytes;
            if (excess < last.Length)
            {
                last = last[..(int)(last.Length - excess)];
                Bytes = bytes;
                return;
            }

            Bytes -= last.Length;
            last = default;
            Count--;
        }
    }

    /// <summary>Copies <paramref name="source"/> to the start of the segments; returns the bytes that fitted.</summary>
    public int CopyFrom(ReadOnlySpan<byte> source)
    {
        int done = 0;
        for (int i = 0; i < Count && done < source.Length; i++)
        {
            Span<byte> target = _segments[i].Span;
            int bytes = Math.Min(target.Length, source.Length - done);
            source.Slice(done, bytes).CopyTo(target);
            done += bytes;
        }

        return done;
    }

    /// <summary>Copies the start of the segments to <paramref name="destination"/>; returns the bytes there were.</summary>
    public int CopyTo(Span<byte> destination)
    {
        int done = 0;
        for (int i = 0; i < Count && done < destination.Length; i++)
        {
            ReadOnlySpan<byte> source = _segments[i].Span;
            int bytes = Math.Min(source.Length, destination.Length - done);
            source[..bytes].CopyTo(destination[done..]);
            done += bytes;
        }

        return done;
    }

    /// <inheritdoc/>
    public IEnumerator<Memory<byte>> GetEnumerator()
    {
        for (int i = 0; i < Count; i++)
        {
            yield return _segments[i];
        }
    }

    IEnumerator<ReadOnlyMemory<byte>> IEnumerable<ReadOnlyMemory<byte>>.GetEnumerator()
    {
        for (int i = 0; i < Count; i++)
        {
            yield return _segments[i];
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

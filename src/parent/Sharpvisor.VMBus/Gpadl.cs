// A guest physical address descriptor list while and after the guest sends it (include/linux/hyperv.h, vmbus_channel_gpadl_header).
namespace Sharpvisor.VMBus;

internal enum GpadlPhase
{
    /// <summary>Body messages are missing.</summary>
    InProgress,
    Ready,
    /// <summary>The guest wants it back; the answer waits until the closing channel lets go of it.</summary>
    TearingDown,
}

/// <summary>One GPADL.</summary>
internal sealed class Gpadl
{
    private readonly byte[] _buffer;
    private int _filled;

    public Gpadl(uint handle, OfferedChannel channel, uint rangeCount, int rangeBytes)
    {
        Handle = handle;
        Channel = channel;
        RangeCount = rangeCount;
        // A length that is no multiple of 8 is cut, as Hyper-V does.
        _buffer = new byte[rangeBytes & ~7];
    }

    public uint Handle { get; }

    public OfferedChannel Channel { get; }

    public uint RangeCount { get; }

    public GpadlPhase Phase { get; set; }

    /// <summary>Host memory it takes, counted against the connection's limit.</summary>
    public int Bytes => _buffer.Length;

    /// <summary>The parsed ranges, once complete.</summary>
    public GpaRangeList Ranges { get; } = new();

    public bool IsComplete => _filled == _buffer.Length;

    /// <summary>Appends what a message carries, ignoring more than was announced (some firmware always sends full messages).</summary>
    /// <returns>False when the list is complete and makes no sense, or was complete before.</returns>
    public bool TryAppend(ReadOnlySpan<byte> data)
    {
        if (Phase != GpadlPhase.InProgress)
        {
            return false;
        }

        int bytes = Math.Min(data.Length & ~7, _buffer.Length - _filled);
        data[..bytes].CopyTo(_buffer.AsSpan(_filled));
        _filled += bytes;
        if (!IsComplete)
        {
            return true;
        }

        if (RangeCount == 0 || !PacketParser.TryParseRanges(_buffer, RangeCount, Ranges))
        {
            return false;
        }

        Phase = GpadlPhase.Ready;
        return true;
    }

    /// <summary>A ring must be one page-aligned range of whole pages.</summary>
    public bool TryGetRingPages(out ReadOnlySpan<ulong> pfns)
    {
        pfns = Ranges.Pfns;
        return Phase == GpadlPhase.Ready && Ranges.Count == 1
            && Ranges.Ranges[0].ByteOffset == 0 && (Ranges.Ranges[0].ByteCount & 4095) == 0;
    }
}

// Puts TCP segments that come one after the other together again, so that the guest handles one packet instead of many (receive segment
// coalescing; the rules are those of Linux's GRO, net/ipv4/tcp_offload.c, tcp_gro_receive: all but length, checksums and PSH is the same).
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Sharpvisor.Core;

namespace Sharpvisor.Vsp.Network;

/// <summary>At most one packet being put together. Not thread-safe; allocates once.</summary>
internal sealed class ReceiveCoalescer
{
    // So that IP's length fits, whatever the headers are.
    private const int MaximumBytes = 60 << 10;
    private const int SequenceOffset = 4;
    private const int AcknowledgementOffset = 8;
    private const int FlagsOffset = 13;
    private const int WindowOffset = 14;
    private const int ChecksumOffset = 16;
    private const int OptionsOffset = 20;
    private const byte Ack = 0x10;
    private const byte Psh = 0x08;

    private readonly byte[] _packet = GC.AllocateUninitializedArray<byte>(MaximumBytes);
    private FrameLayout _layout;
    private int _bytes;
    private int _segmentBytes;
    private uint _nextSequence;
    private bool _closed;

    /// <summary>Nothing is held.</summary>
    public bool IsEmpty => _bytes == 0;

    /// <summary>Nothing can be added: the last segment was short, or pushed.</summary>
    public bool IsClosed => _closed;

    /// <summary>The packet held, with what is left to do on it.</summary>
    public ReadOnlySpan<byte> Packet => _packet.AsSpan(0, _bytes);

    public FrameOffload Offload => _bytes - _layout.Payload > _segmentBytes
        ? new FrameOffload((ushort)_segmentBytes, (ushort)_layout.Transport, ChecksumOffset)
        : default;

    /// <summary>Takes the first segment. False when it is none that others could follow; nothing is held then.</summary>
    public bool TryStart(ReadOnlySpan<byte> frame)
    {
        if (frame.Length > MaximumBytes || !TryParse(frame, out FrameLayout layout) || (frame[layout.Transport + FlagsOffset] & Psh) != 0)
        {
            return false;
        }

        frame[..layout.End].CopyTo(_packet);
        _layout = layout;
        _bytes = layout.End;
        _segmentBytes = layout.End - layout.Payload;
        _nextSequence = Sequence(frame, in layout) + (uint)_segmentBytes;
        _closed = false;
        return true;
    }

    /// <summary>Adds a segment behind those that are held. False, with nothing changed, when it is not the next one.</summary>
    public bool TryAdd(ReadOnlySpan<byte> frame)
    {
        if (_closed || !TryParse(frame, out FrameLayout layout))
        {
            return false;
        }

        int payload = layout.End - layout.Payload;
        if (layout.Payload != _layout.Payload || layout.Transport != _layout.Transport || payload > _segmentBytes || _bytes + payload > MaximumBytes
            || Sequence(frame, in layout) != _nextSequence || !HasSameHeaders(frame))
        {
            return false;
        }

        frame[layout.Payload..layout.End].CopyTo(_packet.AsSpan(_bytes));
        _bytes += payload;
        _nextSequence += (uint)payload;
        byte push = (byte)(frame[layout.Transport + FlagsOffset] & Psh);
        _packet[_layout.Transport + FlagsOffset] |= push;
        _closed = push != 0 || payload < _segmentBytes;
        return true;
    }

    /// <summary>Writes the lengths and checksums of the whole packet, as an offload with a segment size demands them. Any number of times.</summary>
    public void Finish()
    {
        if (Offload.SegmentBytes == 0)
        {
            return;
        }

        Span<byte> packet = _packet.AsSpan(0, _bytes);
        int network = _layout.Network;
        BinaryPrimitives.WriteUInt16BigEndian(packet[(network + (_layout.IsIPv6 ? 4 : 2))..], (ushort)(_bytes - network - (_layout.IsIPv6 ? 40 : 0)));
        if (!_layout.IsIPv6)
        {
            Span<byte> header = packet.Slice(network, (packet[network] & 0xF) * 4);
            header[10..12].Clear();
            ushort checksum = (ushort)~FrameCompletion.Fold(FrameCompletion.Sum(header, 0));
            MemoryMarshal.Write(header[10..], in checksum);
        }

        if (FrameLayout.TryParse(packet, out FrameLayout whole))
        {
            ushort pseudo = FrameCompletion.Fold(whole.PseudoHeaderSum(packet));
            MemoryMarshal.Write(packet[(whole.Transport + ChecksumOffset)..], in pseudo);
        }
    }

    /// <summary>Forgets the packet.</summary>
    public void Clear()
    {
        _bytes = 0;
        _closed = false;
    }

    // A segment with data, nothing but ACK and PSH set, and checksums that are right: nobody looks at them afterwards.
    private static bool TryParse(ReadOnlySpan<byte> frame, out FrameLayout layout) =>
        FrameLayout.TryParse(frame, out layout) && layout.Protocol == FrameLayout.Tcp && layout.End > layout.Payload
        && (frame[layout.Transport + FlagsOffset] & ~Psh) == Ack
        && (layout.IsIPv6 || (frame[layout.Network] == 0x45 && layout.VerifyNetwork(frame) == ChecksumState.Good))
        && layout.VerifyTransport(frame) == ChecksumState.Good;

    private static uint Sequence(ReadOnlySpan<byte> frame, in FrameLayout layout) =>
        BinaryPrimitives.ReadUInt32BigEndian(frame[(layout.Transport + SequenceOffset)..]);

    // Addresses, tags and types; of IP all but length, identification and checksum; of TCP ports, acknowledgement, window and options.
    private bool HasSameHeaders(ReadOnlySpan<byte> frame)
    {
        ReadOnlySpan<byte> held = _packet;
        int network = _layout.Network;
        int transport = _layout.Transport;
        bool sameNetwork = _layout.IsIPv6
            ? Same(held, frame, network, 4) && Same(held, frame, network + 6, transport - network - 6)
            : Same(held, frame, network, 2) && Same(held, frame, network + 6, 4) && Same(held, frame, network + 12, 8);
        return sameNetwork && Same(held, frame, 0, network) && Same(held, frame, transport, SequenceOffset)
            && Same(held, frame, transport + AcknowledgementOffset, FlagsOffset - AcknowledgementOffset)
            && Same(held, frame, transport + WindowOffset, ChecksumOffset - WindowOffset)
            && Same(held, frame, transport + OptionsOffset, _layout.Payload - transport - OptionsOffset);
    }

    private static bool Same(ReadOnlySpan<byte> a, ReadOnlySpan<byte> b, int offset, int count) => a.Slice(offset, count).SequenceEqual(b.Slice(offset, count));
}

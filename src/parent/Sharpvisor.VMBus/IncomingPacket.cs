// One packet of the guest, as a VSP sees it: checked, and copied out of the ring, so it cannot change while it is looked at.
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

/// <summary>A packet from the guest-to-host ring. Valid during <see cref="IChannelHandler.OnPacket"/> only.</summary>
public readonly ref struct IncomingPacket
{
    private readonly VmbusChannel? _channel;

    internal IncomingPacket(
        PacketType type, PacketFlags flags, ulong transactionId, ReadOnlySpan<byte> payload, GpaRangeList? ranges, uint gpadlOrSet, VmbusChannel? channel)
    {
        Type = type;
        Flags = flags;
        TransactionId = transactionId;
        Payload = payload;
        Ranges = ranges;
        GpadlOrSet = gpadlOrSet;
        _channel = channel;
    }

    /// <summary>Inband data, GPA direct, completion and so on.</summary>
    public PacketType Type { get; }

    public PacketFlags Flags { get; }

    /// <summary>The guest waits for a completion with the same <see cref="TransactionId"/>.</summary>
    public bool CompletionRequested => (Flags & PacketFlags.CompletionRequested) != 0;

    public ulong TransactionId { get; }

    /// <summary>The bytes after the packet's header: a private copy, a multiple of 8 long (senders pad).</summary>
    public ReadOnlySpan<byte> Payload { get; }

    /// <summary>
    /// The guest memory a GPA-direct packet describes, or for transfer pages the (offset, length) ranges within the set; otherwise null.
    /// Belongs to the channel and is overwritten by the next packet: use <see cref="TakeRanges"/> to keep it. Page numbers are
    /// NOT checked against the guest's memory; <see cref="GpaRangeList"/>'s accessors do that.
    /// </summary>
    public GpaRangeList? Ranges { get; }

    /// <summary>GPADL handle or transfer page set id, for the packet types that carry one.</summary>
    public uint GpadlOrSet { get; }

    /// <summary>Takes <see cref="Ranges"/> over; dispose it when the request is done. Only when OnPacket will return true.</summary>
    public GpaRangeList? TakeRanges()
    {
        _channel?.DetachRanges();
        return Ranges;
    }
}

// One open channel: a pair of rings in guest memory, the worker that drains one and the writer's end of the other
// (drivers/hv/ring_buffer.c and channel.c are the other end).
using Sharpvisor.Core;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

/// <summary>An open channel, from the open to <see cref="IChannelHandler.OnClosed"/>. Writes are thread-safe.</summary>
public sealed class VmbusChannel
{
    /// <summary>The device's description.</summary>
    public VmbusOffer Offer { get; } = null!;

    /// <summary>0 for the primary channel, 1 and up for subchannels.</summary>
    public ushort SubchannelIndex { get; }

    /// <summary>The channel's number on the bus, also its event flag.</summary>
    public uint Relid { get; }

    /// <summary>The VP that takes this channel's interrupts; the guest may change it at any time.</summary>
    public uint TargetVp { get; }

    /// <summary>The negotiated VMBus version (major in the upper half).</summary>
    public uint ProtocolVersion { get; }

    public GuestMemory Memory { get; } = null!;

    /// <summary>False once closing has begun.</summary>
    public bool IsOpen { get; }

    /// <summary>Writes a packet with an inline payload (padded to 8 bytes).</summary>
    public RingWriteStatus TryWritePacket(PacketType type, PacketFlags flags, ulong transactionId, ReadOnlySpan<byte> payload) =>
        TryWritePacket(type, flags, transactionId, payload, default);

    /// <summary>Writes a packet whose inline payload comes in two parts, one right after the other.</summary>
    public RingWriteStatus TryWritePacket(
        PacketType type, PacketFlags flags, ulong transactionId, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> payload2) => throw new NotImplementedException();

    /// <summary>Answers a packet of the guest. Any thread; inside the worker's callbacks the signal waits for the end of the batch.</summary>
    public RingWriteStatus TryWriteCompletion(ulong transactionId, ReadOnlySpan<byte> payload) =>
        TryWritePacket(PacketType.Completion, PacketFlags.None, transactionId, payload, default);

    /// <summary>Sends a signal held back during a batch at once.</summary>
    public void Flush() => throw new NotImplementedException();

    /// <summary>Has the worker run again after <see cref="IChannelHandler.OnPacket"/> returned false. Any thread.</summary>
    public void Resume() => throw new NotImplementedException();

    /// <summary>
    /// Offers subchannels 1 to <paramref name="count"/> of this device to the guest; ones already offered stay. Allowed on the primary channel
    /// and up to <see cref="VmbusOffer.MaxSubchannels"/>. False when not allowed or the bus has no free channel.
    /// </summary>
    public bool OfferSubchannels(int count) => throw new NotImplementedException();

    /// <summary>A view of memory the guest registered on this channel (netvsc's buffers).</summary>
    public bool TryGetGpadl(uint handle, out GpadlView? view) => throw new NotImplementedException();

    internal void DetachRanges() => throw new NotImplementedException();
}

// What a network card (synthetic or emulated) and what it is plugged into (switch, tap, user-mode NAT) know of each other.
namespace Sharpvisor.Core;

/// <summary>
/// What is left to do on a frame, in the terms of virtio_net_hdr (VIRTIO 1.2, 5.1.6.2). The default value: nothing, an ordinary
/// complete frame.
/// </summary>
/// <param name="SegmentBytes">Not 0: a TCP segment larger than the link's MTU, to be cut into pieces of at most this payload (LSO).</param>
/// <param name="ChecksumStart">Not 0: the checksum over the bytes from here to the end is missing; its field holds the pseudo header's sum.</param>
/// <param name="ChecksumOffset">Where the checksum's field is, counted from <paramref name="ChecksumStart"/>.</param>
public readonly record struct FrameOffload(ushort SegmentBytes, ushort ChecksumStart, ushort ChecksumOffset);

/// <summary>The card's end of a cable. Frames are whole Ethernet frames without FCS.</summary>
public interface INetworkCard
{
    /// <summary>
    /// A frame for the guest, valid during the call only; called by one thread at a time. False: the card has no room; the port keeps
    /// or drops the frame and may try again after <see cref="INetworkPort.ReceiveReady"/>.
    /// </summary>
    bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload);

    /// <summary>
    /// The same, when <paramref name="more"/> with another frame about to follow at once: the card may wait for it and give the guest both
    /// together. The frame after such a one must come, by either method.
    /// </summary>
    bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload, bool more) => Receive(frame, offload);
}

/// <summary>A socket in the wall: the network's end of a card's cable.</summary>
public interface INetworkPort : IDisposable
{
    /// <summary>The largest frame it takes and gives, in bytes, header included, when no segmentation is asked for.</summary>
    int MaximumFrameBytes { get; }

    /// <summary>True when <see cref="Send"/> takes frames with <see cref="FrameOffload.SegmentBytes"/> set.</summary>
    bool AcceptsLargeSegments { get; }

    /// <summary>Plugs the card in and starts receiving. Once.</summary>
    void Connect(INetworkCard card);

    /// <summary>
    /// Takes a frame from the card; the memory is the caller's again on return. May block while the host's queue is full, so never
    /// on a VP's thread. A frame that cannot be sent is dropped, as on a wire.
    /// </summary>
    void Send(ReadOnlySpan<byte> frame, FrameOffload offload);

    /// <summary>The card has room again after it refused a frame.</summary>
    void ReceiveReady();
}

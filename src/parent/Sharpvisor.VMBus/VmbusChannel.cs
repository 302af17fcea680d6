// One open channel: a pair of rings in guest memory, and the writer's end of the host-to-guest one
// (drivers/hv/ring_buffer.c and channel.c are the other end). The worker is in VmbusChannel.Worker.cs.
using System.Runtime.InteropServices;
using Sharpvisor.Core;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

/// <summary>An open channel, from the open to <see cref="IChannelHandler.OnClosed"/>. Writes are thread-safe.</summary>
public sealed partial class VmbusChannel
{
    private const int MaxTransferRanges = 256;

    private readonly IChannelHost _host;
    private readonly RingReader _reader;
    private readonly RingWriter _writer;
    private readonly ChannelCounters _counters;
    private readonly Lock _writeLock = new();
    private uint _targetVp;
    private bool _open = true;
    private bool _signalOwed;
    private bool _writableOwed;
    private Timer? _spacePoll;

    internal VmbusChannel(
        IChannelHost host, OfferedChannel offered, in OpenRequest request, uint version, RingMemory fromGuest, RingMemory toGuest, ChannelCounters counters)
    {
        _host = host;
        Offered = offered;
        Offer = offered.Offer;
        SubchannelIndex = offered.SubchannelIndex;
        Relid = offered.Relid;
        ProtocolVersion = version;
        _targetVp = request.TargetVp;
        _counters = counters;
        _reader = new RingReader(fromGuest);
        _writer = new RingWriter(toGuest, fromGuest);
        _ranges = GpaRangeList.Rent(_rangePool);
    }

    /// <summary>The device's description.</summary>
    public VmbusOffer Offer { get; }

    /// <summary>0 for the primary channel, 1 and up for subchannels.</summary>
    public ushort SubchannelIndex { get; }

    /// <summary>The channel's number on the bus, also its event flag.</summary>
    public uint Relid { get; }

    /// <summary>The VP that takes this channel's interrupts; the guest may change it at any time.</summary>
    public uint TargetVp
    {
        get => Volatile.Read(ref _targetVp);
        internal set => Volatile.Write(ref _targetVp, value);
    }

    /// <summary>The negotiated VMBus version (major in the upper half).</summary>
    public uint ProtocolVersion { get; }

    public GuestMemory Memory => _host.Memory;

    /// <summary>False once closing has begun.</summary>
    public bool IsOpen => Volatile.Read(ref _open);

    internal OfferedChannel Offered { get; }

    /// <summary>Writes a packet with an inline payload (padded to 8 bytes).</summary>
    public RingWriteStatus TryWritePacket(PacketType type, PacketFlags flags, ulong transactionId, ReadOnlySpan<byte> payload) =>
        Write(new PacketDescriptor { Type = type, Flags = flags, TransactionId = transactionId }, default, payload, default);

    /// <summary>Writes a packet whose inline payload comes in two parts, one right after the other.</summary>
    public RingWriteStatus TryWritePacket(
        PacketType type, PacketFlags flags, ulong transactionId, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> payload2) =>
        Write(new PacketDescriptor { Type = type, Flags = flags, TransactionId = transactionId }, default, payload, payload2);

    /// <summary>Answers a packet of the guest. Any thread; inside the worker's callbacks the signal waits for the end of the batch.</summary>
    public RingWriteStatus TryWriteCompletion(ulong transactionId, ReadOnlySpan<byte> payload) =>
        Write(new PacketDescriptor { Type = PacketType.Completion, TransactionId = transactionId }, default, payload, default);

    /// <summary>Writes a transfer-pages packet (netvsp's receive path): data is in the guest's registered buffer, at these ranges.</summary>
    public RingWriteStatus TryWriteTransferPages(
        PacketFlags flags, ulong transactionId, ushort setId, ReadOnlySpan<TransferPageRange> ranges, ReadOnlySpan<byte> payload)
    {
        if (ranges.Length > MaxTransferRanges)
        {
            return RingWriteStatus.TooLarge;
        }

        Span<byte> header = stackalloc byte[8 + (ranges.Length * 8)];
        var fixedPart = new TransferPageHeader { SetId = setId, RangeCount = (uint)ranges.Length };
        MemoryMarshal.Write(header, in fixedPart);
        MemoryMarshal.AsBytes(ranges).CopyTo(header[8..]);
        var descriptor = new PacketDescriptor { Type = PacketType.DataUsingTransferPages, Flags = flags, TransactionId = transactionId };
        return Write(descriptor, header, payload, default);
    }

    /// <summary>Sends a signal held back during a batch at once.</summary>
    public void Flush()
    {
        bool owed;
        lock (_writeLock)
        {
            owed = _signalOwed;
            _signalOwed = false;
        }

        if (owed)
        {
            Interrupt();
        }
    }

    /// <summary>
    /// Offers subchannels 1 to <paramref name="count"/> of this device to the guest; ones already offered stay. Allowed on the primary channel
    /// and up to <see cref="VmbusOffer.MaxSubchannels"/>. False when not allowed or the bus has no free channel.
    /// </summary>
    public bool OfferSubchannels(int count) => _host.OfferSubchannels(this, count);

    /// <summary>A view of memory the guest registered on this channel (netvsc's buffers).</summary>
    public bool TryGetGpadl(uint handle, out GpadlView? view) => _host.TryGetGpadl(this, handle, out view);

    private RingWriteStatus Write(PacketDescriptor descriptor, ReadOnlySpan<byte> header, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> payload2)
    {
        bool signal;
        RingWriteStatus status;
        lock (_writeLock)
        {
            if (!_open)
            {
                return RingWriteStatus.Closed;
            }

            status = _writer.TryWrite(descriptor, header, payload, payload2, out signal);
            if (status == RingWriteStatus.Full)
            {
                OnRingFull();
            }

            // One signal for all that the worker's callbacks write: the guest then finds the whole batch at once.
            if (signal && Environment.CurrentManagedThreadId == Volatile.Read(ref _workerThread))
            {
                _signalOwed = true;
                signal = false;
            }
        }

        if (signal)
        {
            Interrupt();
        }

        if (status == RingWriteStatus.Written)
        {
            _counters.PacketsOut.Increment();
            _counters.BytesOut.Add(header.Length + payload.Length + payload2.Length);
        }

        return status;
    }

    private void OnRingFull()
    {
        _counters.RingFull.Increment();
        _writableOwed = true;
        if (!_writer.GuestSignalsSpace)
        {
            // Such a guest expects the host to poll (include/linux/hyperv.h, comment on pending_send_sz).
            _spacePoll ??= new Timer(static state => ((VmbusChannel)state!).Schedule(), this, Timeout.Infinite, Timeout.Infinite);
            _spacePoll.Change(SpacePollMilliseconds, Timeout.Infinite);
        }
    }

    private void Interrupt()
    {
        uint vp = TargetVp;
        if (vp != VmbusConstants.NoInterruptVp)
        {
            _counters.Interrupts.Increment();
            _ = _host.Interrupt(vp, Relid);
        }
    }
}

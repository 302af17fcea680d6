// The balloon's open channel (drivers/hv/hv_balloon.c: balloon_connect_vsp, balloon_up, balloon_down, post_status).
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsp.Integration;

namespace Sharpvisor.Vsp.Balloon;

internal sealed class BalloonChannel(BalloonVsp vsp, GuestMemory memory) : IChannelHandler
{
    // struct dm_balloon_response and dm_unballoon_request before their ranges.
    private const int RangesOffset = 16;
    // The guest receives into one page.
    private const int MaxRanges = (GuestMemory.PageBytes - RangesOffset) / DynamicMemoryRange.Bytes;
    private const ulong MaxPagesInRange = (1 << 24) - 1;

    private readonly Lock _gate = new();
    private readonly List<DynamicMemoryRange> _balloon = [];
    private readonly Queue<byte[]> _unsent = new();
    private VmbusChannel? _channel;
    private TaskCompletionSource? _pending;
    private DynamicMemoryType _expected;
    private ulong _wanted;
    private ulong _ballooned;
    private uint _transactionId;
    private bool _versionAgreed;
    private bool _canHotAdd;
    private uint _hotAdded;
    private volatile IntegrationState _state = IntegrationState.Negotiating;

    public IntegrationState State => _state;

    public GuestMemory Memory => memory;

    public ulong BalloonedPages
    {
        get
        {
            lock (_gate)
            {
                return _ballooned;
            }
        }
    }

    public void OnOpened(VmbusChannel channel)
    {
        lock (_gate)
        {
            _channel = channel;
        }
    }

    public bool OnPacket(VmbusChannel channel, in IncomingPacket packet)
    {
        ReadOnlySpan<byte> payload = packet.Payload;
        if (packet.Type != PacketType.DataInBand || payload.Length < DynamicMemoryHeader.Bytes)
        {
            return true;
        }

        DynamicMemoryHeader header = MemoryMarshal.Read<DynamicMemoryHeader>(payload);
        payload = payload[..Math.Min(payload.Length, header.Size)];
        lock (_gate)
        {
            switch (header.Type)
            {
                case DynamicMemoryType.VersionRequest when payload.Length >= 16:
                    AnswerVersion(header.TransactionId, payload);
                    break;
                case DynamicMemoryType.CapabilitiesReport when payload.Length >= 16 && _versionAgreed:
                    // Bit 0: it can balloon. Without that there is nothing to do together.
                    bool usable = (payload[8] & 1) != 0;
                    // Bit 1: memory can be added; bits 2 to 5: aligned to that power of two MiB.
                    _canHotAdd = (payload[8] & 2) != 0 && (payload[8] >> 2 & 0xF) <= BalloonVsp.HotAddAlignmentLog2;
                    Send(Answer(DynamicMemoryType.CapabilitiesResponse, header.TransactionId, usable));
                    _state = usable ? IntegrationState.Running : IntegrationState.Refused;
                    break;
                case DynamicMemoryType.StatusReport when payload.Length >= 24:
                    vsp.TakeReport(new MemoryReport(
                        DateTimeOffset.UtcNow,
                        BinaryPrimitives.ReadUInt64LittleEndian(payload[8..]) << GuestMemory.PageShift,
                        BinaryPrimitives.ReadUInt64LittleEndian(payload[16..]) << GuestMemory.PageShift));
                    break;
                case DynamicMemoryType.BalloonResponse when payload.Length >= RangesOffset && _expected == header.Type:
                    TakePages(payload);
                    break;
                case DynamicMemoryType.HotAddResponse when payload.Length >= 16 && _expected == header.Type:
                    _hotAdded = BinaryPrimitives.ReadUInt32LittleEndian(payload[8..]);
                    Complete();
                    break;
                case DynamicMemoryType.UnballoonResponse when _expected == header.Type:
                    Complete();
                    break;
                default:
                    break;
            }
        }

        return true;
    }

    public void OnWritable(VmbusChannel channel)
    {
        lock (_gate)
        {
            while (_unsent.TryPeek(out byte[]? message) && TryWrite(message))
            {
                _unsent.Dequeue();
            }
        }
    }

    public void OnClosed(VmbusChannel channel)
    {
        lock (_gate)
        {
            _channel = null;
            _state = IntegrationState.NotConnected;
            _unsent.Clear();
            _pending?.TrySetException(new IntegrationException("balloon: the guest closed the channel"));
            _pending = null;
            _expected = DynamicMemoryType.Error;
        }

        vsp.ChannelClosed(this);
    }

    /// <summary>Asks for pages; ends when the guest has given what it can.</summary>
    public Task BeginInflate(ulong pages)
    {
        lock (_gate)
        {
            Task answer = Expect(DynamicMemoryType.BalloonResponse);
            _wanted = Math.Min(pages, uint.MaxValue);
            byte[] message = Message(DynamicMemoryType.BalloonRequest, 16, ++_transactionId);
            BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(8), (uint)_wanted);
            Send(message);
            return answer;
        }
    }

    /// <summary>Gives pages back, the last taken first; ends when the guest has them.</summary>
    public Task BeginDeflate(ulong pages)
    {
        lock (_gate)
        {
            Task answer = Expect(DynamicMemoryType.UnballoonResponse);
            var ranges = new List<DynamicMemoryRange>();
            while (pages > 0 && _balloon.Count > 0)
            {
                DynamicMemoryRange last = _balloon[^1];
                _balloon.RemoveAt(_balloon.Count - 1);
                ulong count = Math.Min(pages, last.Pages);
                if (count < last.Pages)
                {
                    _balloon.Add(new DynamicMemoryRange(last.FirstPage, last.Pages - count));
                }

                ranges.Add(new DynamicMemoryRange(last.FirstPage + last.Pages - count, count));
                pages -= count;
                _ballooned -= count;
            }

            for (int i = 0; i < ranges.Count; i += MaxRanges)
            {
                int count = Math.Min(MaxRanges, ranges.Count - i);
                Send(UnballoonMessage(CollectionsMarshal.AsSpan(ranges).Slice(i, count), more: i + count < ranges.Count));
            }

            return answer;
        }
    }

    /// <summary>Gives the guest new memory, which must be there already; ends when it has taken it: <see cref="HotAddedPages"/>.</summary>
    public Task BeginHotAdd(ulong firstPage, ulong pages)
    {
        lock (_gate)
        {
            if (!_canHotAdd)
            {
                throw new IntegrationException("balloon: the guest's driver cannot add memory", IcStatus.NotSupported);
            }

            Task answer = Expect(DynamicMemoryType.HotAddResponse);
            _hotAdded = 0;
            byte[] message = Message(DynamicMemoryType.HotAddRequest, 16, ++_transactionId);
            BinaryPrimitives.WriteUInt64LittleEndian(message.AsSpan(8), new DynamicMemoryRange(firstPage, pages).Value);
            Send(message);
            return answer;
        }
    }

    /// <summary>What the guest says it added of the last request.</summary>
    public ulong HotAddedPages
    {
        get
        {
            lock (_gate)
            {
                return _hotAdded;
            }
        }
    }

    /// <summary>Nobody waits any more; pages that still come are taken.</summary>
    public void Abandon()
    {
        lock (_gate)
        {
            _pending = null;
        }
    }

    // Under the lock, as all that follows.
    private Task Expect(DynamicMemoryType type)
    {
        if (_channel is null || _expected != DynamicMemoryType.Error)
        {
            throw new IntegrationException("balloon: the guest has not finished the last request");
        }

        _expected = type;
        _pending = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return _pending.Task;
    }

    private void Complete()
    {
        _expected = DynamicMemoryType.Error;
        _pending?.TrySetResult();
        _pending = null;
    }

    private void AnswerVersion(uint transactionId, ReadOnlySpan<byte> payload)
    {
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(payload[8..]);
        _versionAgreed = version is DynamicMemoryVersion.Win10 or DynamicMemoryVersion.Win8 or DynamicMemoryVersion.Win7;
        if (!_versionAgreed && (payload[12] & 1) != 0)
        {
            _state = IntegrationState.Refused;
        }

        Send(Answer(DynamicMemoryType.VersionResponse, transactionId, _versionAgreed));
    }

    private void TakePages(ReadOnlySpan<byte> payload)
    {
        uint word = BinaryPrimitives.ReadUInt32LittleEndian(payload[12..]);
        bool more = (word & 1) != 0;
        int count = (int)Math.Min(word >> 1, (uint)(payload.Length - RangesOffset) / DynamicMemoryRange.Bytes);
        foreach (DynamicMemoryRange range in MemoryMarshal.Cast<byte, DynamicMemoryRange>(payload[RangesOffset..])[..count])
        {
            // More than was asked for, or something that is not RAM, is not taken.
            if (range.Pages == 0 || range.Pages > Math.Min(_wanted, MaxPagesInRange) || !memory.TryDiscard(range.FirstPage, range.Pages))
            {
                continue;
            }

            _wanted -= range.Pages;
            _ballooned += range.Pages;
            _balloon.Add(range);
            vsp.CountReleased(range.Pages);
        }

        if (!more)
        {
            Complete();
        }
    }

    private byte[] UnballoonMessage(ReadOnlySpan<DynamicMemoryRange> ranges, bool more)
    {
        byte[] message = Message(DynamicMemoryType.UnballoonRequest, RangesOffset + (ranges.Length * DynamicMemoryRange.Bytes), ++_transactionId);
        message[8] = more ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(12), ranges.Length);
        MemoryMarshal.AsBytes(ranges).CopyTo(message.AsSpan(RangesOffset));
        return message;
    }

    private static byte[] Answer(DynamicMemoryType type, uint transactionId, bool accepted)
    {
        byte[] message = Message(type, 16, transactionId);
        message[8] = accepted ? (byte)1 : (byte)0;
        return message;
    }

    private static byte[] Message(DynamicMemoryType type, int bytes, uint transactionId)
    {
        byte[] message = new byte[bytes];
        var header = new DynamicMemoryHeader { Type = type, Size = (ushort)bytes, TransactionId = transactionId };
        MemoryMarshal.Write(message, in header);
        return message;
    }

    private void Send(byte[] message)
    {
        // A guest that reads nothing gets nothing more: what it can be owed is bounded by what it was asked.
        if (_unsent.Count > 0 || !TryWrite(message))
        {
            if (_unsent.Count < 4096)
            {
                _unsent.Enqueue(message);
            }
        }
    }

    private bool TryWrite(byte[] message) =>
        _channel is null || _channel.TryWritePacket(PacketType.DataInBand, PacketFlags.None, 0, message) != RingWriteStatus.Full;
}

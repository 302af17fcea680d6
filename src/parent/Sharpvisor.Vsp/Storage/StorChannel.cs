// One open storage channel: the primary one negotiates (drivers/scsi/storvsc_drv.c, storvsc_channel_init), all carry SRBs.
using System.Runtime.InteropServices;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp.Storage;

internal sealed class StorChannel : IChannelHandler
{
    /// <summary>SRBs in flight on a channel; the guest's ring holds what is beyond.</summary>
    private const int MaxOutstanding = 256;

    private readonly StorVsp _vsp;
    // A monitor, because a close waits on it.
    private readonly object _gate = new();
    private readonly Stack<StorRequest> _free = new();
    private readonly Queue<StorRequest> _unanswered = new();
    private readonly bool _primary;
    private VmbusChannel? _channel;
    private volatile State _state;
    private int _outstanding;
    private bool _blocked;
    private bool _announcementOwed;

    public StorChannel(StorVsp vsp, bool primary)
    {
        _vsp = vsp;
        _primary = primary;
        // A subchannel needs no negotiation: it belongs to a device that has done it.
        _state = primary ? State.Opened : State.Ready;
    }

    private enum State
    {
        Opened,
        Begun,
        VersionAgreed,
        Ready,
    }

    // Disks answer at once only what the host has in memory; all else of theirs goes on on the pool (RawDisk).
    public bool RunsOnSignallingThread => true;

    public void OnOpened(VmbusChannel channel) => _channel = channel;

    public bool OnPacket(VmbusChannel channel, in IncomingPacket packet)
    {
        if (packet.Type is not (PacketType.DataInBand or PacketType.DataUsingGpaDirect))
        {
            return true;
        }

        // Old guests send fewer bytes than a whole packet; what is missing is zero.
        StorPacket stor = default;
        Span<byte> bytes = MemoryMarshal.AsBytes(new Span<StorPacket>(ref stor));
        packet.Payload[..Math.Min(packet.Payload.Length, bytes.Length)].CopyTo(bytes);
        if (stor.Operation == StorOperation.ExecuteSrb)
        {
            return ExecuteSrb(channel, in stor, in packet);
        }

        StorPacket answer = Control(channel, stor);
        if (!packet.CompletionRequested)
        {
            return true;
        }

        answer.Operation = StorOperation.CompleteIo;
        return channel.TryWriteCompletion(packet.TransactionId, MemoryMarshal.AsBytes(new ReadOnlySpan<StorPacket>(in answer)))
            != RingWriteStatus.Full;
    }

    public void OnWritable(VmbusChannel channel)
    {
        lock (_gate)
        {
            AnswerWaiting(channel);
            // The channel delivers again after this callback, whether or not a full queue had stopped it.
            _blocked = false;
            if (_announcementOwed)
            {
                Announce(channel);
            }
        }
    }

    public void OnClosed(VmbusChannel channel)
    {
        _vsp.OnClosed(this);
        lock (_gate)
        {
            // Disk I/O goes straight to the guest's memory: the guest may have it back only when none is under way.
            AnswerWaiting(channel);
            while (_outstanding > 0)
            {
                Monitor.Wait(_gate);
                AnswerWaiting(channel);
            }
        }
    }

    /// <summary>Asks the guest to look for added and removed LUNs.</summary>
    public void AnnounceBusChange()
    {
        if (_state == State.Ready && _primary && _channel is { } channel)
        {
            lock (_gate)
            {
                Announce(channel);
            }
        }
    }

    // Under the lock. Transaction 0 marks what answers no request (storvsc_on_channel_callback).
    private void Announce(VmbusChannel channel)
    {
        var packet = new StorPacket { Operation = StorOperation.EnumerateBus };
        RingWriteStatus status = channel.TryWritePacket(
            PacketType.DataInBand, PacketFlags.None, 0, MemoryMarshal.AsBytes(new ReadOnlySpan<StorPacket>(in packet)));
        _announcementOwed = status == RingWriteStatus.Full;
    }

    /// <summary>A request ended; on any thread.</summary>
    public void Complete(StorRequest request)
    {
        VmbusChannel channel = _channel!;
        request.Answer(channel.Memory);
        _vsp.Count(request.Scsi);
        if (request.CountedLun >= 0)
        {
            _vsp.Leave(request.CountedLun);
            request.CountedLun = -1;
        }

        Finish(channel, request);
    }

    private void Finish(VmbusChannel channel, StorRequest request)
    {
        bool resume = false;
        lock (_gate)
        {
            if (_unanswered.Count > 0 || !TryAnswer(channel, request))
            {
                _unanswered.Enqueue(request);
            }
            else if (_blocked)
            {
                _blocked = false;
                resume = true;
            }

            Monitor.PulseAll(_gate);
        }

        if (resume)
        {
            channel.Resume();
        }
    }

    // Under the lock.
    private void AnswerWaiting(VmbusChannel channel)
    {
        while (_unanswered.TryPeek(out StorRequest? request) && TryAnswer(channel, request))
        {
            _unanswered.Dequeue();
        }
    }

    // Under the lock. True when the request is done with, be it that nobody listens any more.
    private bool TryAnswer(VmbusChannel channel, StorRequest request)
    {
        RingWriteStatus status = channel.TryWriteCompletion(
            request.TransactionId, MemoryMarshal.AsBytes(new ReadOnlySpan<StorPacket>(in request.Packet)));
        if (status == RingWriteStatus.Full)
        {
            return false;
        }

        request.Release();
        _free.Push(request);
        _outstanding--;
        return true;
    }

    private bool ExecuteSrb(VmbusChannel channel, in StorPacket stor, in IncomingPacket packet)
    {
        StorRequest request;
        lock (_gate)
        {
            if (_outstanding >= MaxOutstanding)
            {
                _blocked = true;
                return false;
            }

            _outstanding++;
            request = _free.TryPop(out StorRequest? free) ? free : new StorRequest(this);
        }

        bool usable = request.TryBegin(channel.Memory, in stor, in packet);
        if (!usable || _state != State.Ready)
        {
            request.Reject(SrbStatus.InvalidRequest);
            Finish(channel, request);
        }
        else if (_vsp.FindTarget(stor.Srb.Path, stor.Srb.Target, stor.Srb.Lun, request.Scsi, out int countedLun) is not { } target)
        {
            request.Reject(SrbStatus.InvalidLun);
            Finish(channel, request);
        }
        else
        {
            request.CountedLun = countedLun;
            request.Execute(target);
        }

        return true;
    }

    private StorPacket Control(VmbusChannel channel, StorPacket packet)
    {
        Span<byte> union = MemoryMarshal.AsBytes(new Span<ScsiRequestBlock>(ref packet.Srb));
        packet.Status = StorStatus.InvalidDeviceState;
        switch (packet.Operation)
        {
            case StorOperation.BeginInitialization when _primary:
                _state = State.Begun;
                packet.Status = StorStatus.Success;
                break;
            case StorOperation.QueryProtocolVersion when _state == State.Begun:
                ushort version = MemoryMarshal.Read<ushort>(union);
                bool known = version is StorVersion.Win8 or StorVersion.Win8Point1 or StorVersion.Win10;
                packet.Status = known ? StorStatus.Success : StorStatus.RevisionMismatch;
                _state = known ? State.VersionAgreed : _state;
                break;
            case StorOperation.QueryProperties when _state == State.VersionAgreed:
                var properties = new StorChannelProperties
                {
                    MaxChannelCount = _vsp.Offer.MaxSubchannels,
                    Flags = _vsp.Offer.MaxSubchannels > 0 ? StorChannelProperties.SupportsMultiChannel : 0,
                    MaxTransferBytes = StorVsp.MaxTransferBytes,
                };
                union.Clear();
                MemoryMarshal.Write(union, in properties);
                packet.Status = StorStatus.Success;
                break;
            case StorOperation.EndInitialization when _state == State.VersionAgreed:
                _state = State.Ready;
                packet.Status = StorStatus.Success;
                break;
            // drivers/scsi/storvsc_drv.c asks after END_INITIALIZATION, Windows before.
            case StorOperation.CreateSubChannels when _state is State.VersionAgreed or State.Ready && _primary:
                ushort count = MemoryMarshal.Read<ushort>(union);
                packet.Status = count <= _vsp.Offer.MaxSubchannels && channel.OfferSubchannels(count)
                    ? StorStatus.Success
                    : StorStatus.InvalidParameter;
                break;
            case StorOperation.ResetLun or StorOperation.ResetBus or StorOperation.ResetAdapter when _state == State.Ready:
                _vsp.ResetTargets();
                packet.Status = StorStatus.Success;
                break;
            default:
                break;
        }

        return packet;
    }
}

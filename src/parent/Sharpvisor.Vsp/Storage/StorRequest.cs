// One SRB on its way through a disk: pooled, so that a request in steady state allocates nothing.
using System.Runtime.CompilerServices;
using Sharpvisor.Core;
using Sharpvisor.VMBus;

namespace Sharpvisor.Vsp.Storage;

internal sealed class StorRequest
{
    private readonly StorChannel _owner;
    private readonly Action _completed;
    private ValueTaskAwaiter _awaiter;
    private GpaRangeList? _ranges;
    private StorPacket _packet;

    public StorRequest(StorChannel owner)
    {
        _owner = owner;
        _completed = OnCompleted;
    }

    public ScsiRequest Scsi { get; } = new();

    public ulong TransactionId { get; private set; }

    /// <summary>The logical unit that counts this request as under way, or -1.</summary>
    public int CountedLun { get; set; } = -1;

    /// <summary>The answer, once the request has completed.</summary>
    public ref readonly StorPacket Packet => ref _packet;

    /// <summary>Takes over a packet. False when its buffer is not guest RAM or its lengths do not fit together.</summary>
    public bool TryBegin(GuestMemory memory, in StorPacket packet, in IncomingPacket incoming)
    {
        _packet = packet;
        TransactionId = incoming.TransactionId;
        Scsi.Reset();
        Span<byte> cdb = _packet.Srb.Payload;
        cdb[..ScsiRequest.CdbBytes].CopyTo(Scsi.Cdb);
        // Bytes beyond the CDB's length are not part of it.
        Scsi.Cdb[Math.Min(packet.Srb.CdbLength, (byte)ScsiRequest.CdbBytes)..].Clear();
        uint bytes = packet.Srb.DataTransferLength;
        if (bytes == 0)
        {
            return true;
        }

        if (incoming.Ranges is null || bytes > incoming.Ranges.TotalBytes || bytes > StorVsp.MaxTransferBytes
            || !incoming.Ranges.TryMap(memory, 0, bytes, Scsi.Data))
        {
            return false;
        }

        _ranges = incoming.TakeRanges();
        return true;
    }

    /// <summary>Starts the command; the owner's <see cref="StorChannel.Complete"/> follows, here or on another thread.</summary>
    public void Execute(IScsiTarget target)
    {
#pragma warning disable CA2012 // OnCompleted takes the result exactly once, when there is one.
        _awaiter = target.ExecuteAsync(Scsi).GetAwaiter();
#pragma warning restore CA2012
        if (_awaiter.IsCompleted)
        {
            OnCompleted();
        }
        else
        {
            _awaiter.UnsafeOnCompleted(_completed);
        }
    }

    /// <summary>Ends a request that never reached a target.</summary>
    public void Reject(byte srbStatus)
    {
        _packet.Srb.DataTransferLength = 0;
        _packet.Srb.SenseLength = 0;
        _packet.Srb.ScsiStatus = (byte)ScsiStatus.CheckCondition;
        Answer(srbStatus, srbStatus == SrbStatus.InvalidLun ? StorStatus.DeviceDoesNotExist : StorStatus.IoDeviceError);
    }

    /// <summary>Fills in the answer from <see cref="Scsi"/>.</summary>
    public void Answer(GuestMemory memory)
    {
        if (Scsi.Direction == ScsiDirection.In)
        {
            // A read that failed may have written some of it.
            long bytes = Scsi.Status == ScsiStatus.Good ? Scsi.TransferredBytes : _packet.Srb.DataTransferLength;
            _ranges?.NotifyWrite(memory, 0, bytes);
        }

        byte sense = Math.Min(_packet.Srb.SenseLength, (byte)CdbOrSense.Bytes);
        _packet.Srb.ScsiStatus = (byte)Scsi.Status;
        _packet.Srb.DataTransferLength = (uint)Scsi.TransferredBytes;
        if (Scsi.Status == ScsiStatus.Good)
        {
            Answer(SrbStatus.Success, StorStatus.Success);
        }
        else if (Scsi.Status == ScsiStatus.Busy)
        {
            Answer(SrbStatus.Busy, StorStatus.DeviceBusy);
        }
        else
        {
            byte status = SrbStatus.Error;
            ReadOnlySpan<byte> data = Scsi.Sense[..Math.Min(Scsi.Sense.Length, sense)];
            if (data.Length > 0)
            {
                Span<byte> payload = _packet.Srb.Payload;
                payload.Clear();
                data.CopyTo(payload);
                _packet.Srb.SenseLength = (byte)data.Length;
                status |= SrbStatus.AutosenseValid;
            }

            Answer(status, StorStatus.IoDeviceError);
        }
    }

    /// <summary>Lets go of guest memory; the object may be used again.</summary>
    public void Release()
    {
        Scsi.Reset();
        _ranges?.Dispose();
        _ranges = null;
    }

    private void Answer(byte srbStatus, uint status)
    {
        _packet.Operation = StorOperation.CompleteIo;
        _packet.Status = status;
        _packet.Srb.SrbStatus = srbStatus;
    }

    private void OnCompleted()
    {
        _awaiter.GetResult();
        _awaiter = default;
        _owner.Complete(this);
    }
}

// The storage VSP: a synthetic SCSI controller with logical units, or one IDE disk offered as synthetic the way Hyper-V
// accelerates it. The other end is drivers/scsi/storvsc_drv.c.
using System.Buffers.Binary;
using Sharpvisor.Core;
using Sharpvisor.VMBus;

namespace Sharpvisor.Vsp.Storage;

/// <summary>A storage device on VMBus. Thread-safe; LUNs can come and go while the guest runs.</summary>
public sealed class StorVsp : IVmbusDevice
{
    /// <summary>The most bytes one SRB moves; the guest is told.</summary>
    public const int MaxTransferBytes = 1 << 20;

    /// <summary>LUNs on the controller's only target.</summary>
    public const int MaxLuns = 64;

    private const byte Inquiry = 0x12;
    private const byte ReportLuns = 0xA0;
    private const ushort InvalidFieldInCdb = 0x2400;

    // include/linux/hyperv.h, HV_SCSI_GUID and HV_IDE_GUID.
    private static readonly Guid s_scsi = new("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f");
    private static readonly Guid s_ide = new("32412632-86cb-44a2-9b5c-50d1417354f5");

    private readonly IScsiTarget?[] _luns = new IScsiTarget?[MaxLuns];
    // Requests under way on each logical unit: its disk may go only when there are none.
    private readonly int[] _active = new int[MaxLuns];
    // A monitor, because a removal waits on it.
    private readonly object _drained = new();
    private readonly Lock _lock = new();
    private readonly Counter _requests;
    private readonly Counter _readBytes;
    private readonly Counter _writtenBytes;
    private readonly bool _isIde;
    private readonly ControllerUnit _controller;
    private readonly ControllerUnit _emptyTarget;
    private StorChannel? _primary;

    private StorVsp(VmbusOffer offer, bool isIde, Statistics statistics)
    {
        Offer = offer;
        _isIde = isIde;
        _controller = new ControllerUnit(this, listsLuns: true);
        _emptyTarget = new ControllerUnit(this, listsLuns: false);
        _requests = statistics[$"storage.{offer.Name}.requests"];
        _readBytes = statistics[$"storage.{offer.Name}.read_bytes"];
        _writtenBytes = statistics[$"storage.{offer.Name}.written_bytes"];
    }

    /// <inheritdoc/>
    public VmbusOffer Offer { get; }

    /// <summary>A synthetic SCSI controller, without LUNs yet.</summary>
    /// <param name="subchannels">Channels beside the primary one the guest may open: one a VP less one is what guests use.</param>
    public static StorVsp CreateScsi(int controller, ushort subchannels, Statistics statistics)
    {
        ArgumentNullException.ThrowIfNull(statistics);
        var offer = new VmbusOffer
        {
            Name = $"scsi{controller}",
            InterfaceId = s_scsi,
            InstanceId = new Guid(0x3875_1A60, 0x5CD6, (short)controller, 0x9C, 0x3E, 0x61, 0x4B, 0x5A, 0x1D, 0x20, 0x01),
            MaxSubchannels = subchannels,
        };
        return new StorVsp(offer, isIde: false, statistics);
    }

    /// <summary>The synthetic path to an IDE disk.</summary>
    /// <param name="channel">0 primary, 1 secondary.</param>
    /// <param name="drive">0 master, 1 slave. Bytes 4 and 5 of the instance id; storvsc_probe makes them the SCSI target id.</param>
    public static StorVsp CreateIde(int channel, int drive, IScsiTarget disk, Statistics statistics)
    {
        ArgumentNullException.ThrowIfNull(statistics);
        var offer = new VmbusOffer
        {
            Name = $"ide{channel}{drive}",
            InterfaceId = s_ide,
            InstanceId = new Guid(channel, (short)drive, unchecked((short)0x8899), 0, 0, 0, 0, 0, 0, 0, 0),
            UserData = IdeProperties(channel, drive),
        };
        var vsp = new StorVsp(offer, isIde: true, statistics);
        vsp._luns[0] = disk;
        return vsp;
    }

    /// <inheritdoc/>
    public IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData)
    {
        ArgumentNullException.ThrowIfNull(channel);
        var handler = new StorChannel(this, primary: channel.SubchannelIndex == 0);
        if (channel.SubchannelIndex == 0)
        {
            Volatile.Write(ref _primary, handler);
        }

        return handler;
    }

    /// <summary>Attaches a logical unit; a running guest is told to look. False when the LUN is taken or out of range.</summary>
    public bool TryAdd(int lun, IScsiTarget target)
    {
        lock (_lock)
        {
            if ((uint)lun >= MaxLuns || _luns[lun] is not null)
            {
                return false;
            }

            Volatile.Write(ref _luns[lun], target);
        }

        Volatile.Read(ref _primary)?.AnnounceBusChange();
        return true;
    }

    /// <summary>
    /// Detaches a logical unit: later requests fail, and those under way have ended when this returns what was there; its disk
    /// may then be disposed of.
    /// </summary>
    public IScsiTarget? Remove(int lun)
    {
        IScsiTarget? target;
        lock (_lock)
        {
            target = (uint)lun < MaxLuns ? _luns[lun] : null;
            if (target is not null)
            {
                Volatile.Write(ref _luns[lun], null);
            }
        }

        if (target is null)
        {
            return null;
        }

        // Pairs with the increment in FindTarget: either it saw null, or this sees its count.
        Interlocked.MemoryBarrier();
        lock (_drained)
        {
            while (Volatile.Read(ref _active[lun]) > 0)
            {
                Monitor.Wait(_drained);
            }
        }

        Volatile.Read(ref _primary)?.AnnounceBusChange();
        return target;
    }

    /// <summary>The request that <see cref="FindTarget"/> counted on a logical unit has ended.</summary>
    internal void Leave(int lun)
    {
        if (Interlocked.Decrement(ref _active[lun]) == 0 && Volatile.Read(ref _luns[lun]) is null)
        {
            lock (_drained)
            {
                Monitor.PulseAll(_drained);
            }
        }
    }

    /// <summary>Who answers an SRB; null: no such logical unit.</summary>
    /// <param name="countedLun">The logical unit to <see cref="Leave"/> when the request has ended; -1: none.</param>
    internal IScsiTarget? FindTarget(byte path, byte target, byte lun, ScsiRequest request, out int countedLun)
    {
        countedLun = -1;
        if (_isIde)
        {
            return lun == 0 ? _luns[0] : null;
        }

        // storvsc_on_io_completion turns every failed INQUIRY into a success, and scsi_probe_lun would then see a disk: what is
        // not there must be answered for, on all the paths and targets that scsi_scan_host tries.
        bool isHere = path == 0 && target == 0;
        byte opcode = request.Cdb[0];
        if (opcode == ReportLuns)
        {
            return isHere ? _controller : _emptyTarget;
        }

        IScsiTarget? found = null;
        if (isHere && lun < MaxLuns)
        {
            Interlocked.Increment(ref _active[lun]);
            found = Volatile.Read(ref _luns[lun]);
            if (found is null)
            {
                Leave(lun);
            }
            else
            {
                countedLun = lun;
            }
        }

        return found is null && opcode == Inquiry ? _controller : found;
    }

    // What older Windows drivers know the disk by: path and target, and the flag of emulated IDE (drivers/scsi/storvsc_drv.c,
    // STORAGE_CHANNEL_EMULATED_IDE_FLAG).
    private static byte[] IdeProperties(int channel, int drive)
    {
        byte[] properties = new byte[24];
        properties[2] = (byte)channel;
        properties[3] = (byte)drive;
        properties[8] = 2;
        return properties;
    }

    internal void ResetTargets()
    {
        foreach (IScsiTarget? target in _luns)
        {
            target?.Reset();
        }
    }

    internal void Count(ScsiRequest request)
    {
        _requests.Increment();
        if (request.Direction == ScsiDirection.In)
        {
            _readBytes.Add(request.TransferredBytes);
        }
        else if (request.Direction == ScsiDirection.Out)
        {
            _writtenBytes.Add(request.TransferredBytes);
        }
    }

    internal void OnClosed(StorChannel channel) => Interlocked.CompareExchange(ref _primary, null, channel);

    /// <summary>The controller itself: lists the LUNs, and says of a logical unit that is not there that it is not (SAM-5 4.6.4).</summary>
    private sealed class ControllerUnit(StorVsp vsp, bool listsLuns) : IScsiTarget
    {
        public byte DeviceType => 0x1F;

        public ValueTask ExecuteAsync(ScsiRequest request)
        {
            Span<byte> data = stackalloc byte[8 + (8 * MaxLuns)];
            data.Clear();
            int length;
            uint allocation;
            if (request.Cdb[0] == Inquiry)
            {
                if ((request.Cdb[1] & 1) != 0 || request.Cdb[2] != 0)
                {
                    request.Fail(SenseKey.IllegalRequest, InvalidFieldInCdb);
                    return ValueTask.CompletedTask;
                }

                // SPC-4 6.4.2: peripheral qualifier 011b, no device: not here, but the target is.
                data[0] = 0x7F;
                data[2] = 5;
                data[3] = 2;
                data[4] = 36 - 5;
                length = 36;
                allocation = BinaryPrimitives.ReadUInt16BigEndian(request.Cdb[3..]);
            }
            else
            {
                // SPC-4 6.33, SELECT REPORT: addressed, well known (there are none), all.
                byte select = request.Cdb[2];
                if (select > 2)
                {
                    request.Fail(SenseKey.IllegalRequest, InvalidFieldInCdb);
                    return ValueTask.CompletedTask;
                }

                length = 8;
                for (int lun = 0; lun < MaxLuns && listsLuns && select != 1; lun++)
                {
                    if (Volatile.Read(ref vsp._luns[lun]) is not null)
                    {
                        data[length + 1] = (byte)lun;
                        length += 8;
                    }
                }

                BinaryPrimitives.WriteInt32BigEndian(data, length - 8);
                allocation = BinaryPrimitives.ReadUInt32BigEndian(request.Cdb[6..]);
            }

            request.Begin(ScsiDirection.In);
            request.Succeed(request.Data.CopyFrom(data[..(int)Math.Min((uint)length, allocation)]));
            return ValueTask.CompletedTask;
        }

        public void Reset()
        {
        }
    }
}

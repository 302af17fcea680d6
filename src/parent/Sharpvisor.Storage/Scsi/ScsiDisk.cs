// A direct access block device: SBC-3 over any IDisk, with the identity of a Hyper-V virtual disk.
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Storage.Scsi;

/// <summary>A hard disk's SCSI command set. Thread-safe.</summary>
public sealed partial class ScsiDisk : IScsiTarget
{
    // SBC-3 6.6.4: bounds on what one command may make us do.
    private const uint MaxUnmapDescriptors = 256;
    private const long MaxWriteSameBytes = 32 << 20;

    private readonly IDisk _disk;
    private readonly int _sectorBytes;
    private readonly ulong _blocks;
    private volatile bool _writeCache = true;

    /// <param name="disk">The medium; stays its owner's.</param>
    public ScsiDisk(IDisk disk)
    {
        ArgumentNullException.ThrowIfNull(disk);
        _disk = disk;
        _sectorBytes = disk.LogicalSectorBytes;
        _blocks = (ulong)(disk.Bytes / disk.LogicalSectorBytes);
    }

    /// <inheritdoc/>
    public byte DeviceType => 0;

    private bool CanUnmap => !_disk.IsReadOnly;

    private long UnmapGranularityBlocks => Math.Max(1, 4096 / _sectorBytes);

    /// <inheritdoc/>
    public void Reset() => _writeCache = true;

    /// <inheritdoc/>
    public ValueTask ExecuteAsync(ScsiRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        switch (request.Cdb[0])
        {
            case Opcode.Read6 or Opcode.Read10 or Opcode.Read12 or Opcode.Read16:
                return Read(request);
            case Opcode.Write6 or Opcode.Write10 or Opcode.Write12 or Opcode.Write16
                or Opcode.WriteAndVerify10 or Opcode.WriteAndVerify12 or Opcode.WriteAndVerify16:
                return Write(request);
            case Opcode.SynchronizeCache10 or Opcode.SynchronizeCache16:
                return SynchronizeCache(request);
            case Opcode.Unmap:
                return Unmap(request);
            case Opcode.WriteSame10 or Opcode.WriteSame16:
                return WriteSame(request);
            case Opcode.Verify10 or Opcode.Verify12 or Opcode.Verify16:
                return Verify(request);
            case Opcode.Inquiry:
                Inquiry(request);
                break;
            case Opcode.ReadCapacity10:
                ReadCapacity10(request);
                break;
            case Opcode.ServiceActionIn16 when (request.Cdb[1] & 0x1F) == Opcode.ReadCapacity16Action:
                ReadCapacity16(request);
                break;
            case Opcode.ModeSense6 or Opcode.ModeSense10:
                ModeSense(request);
                break;
            case Opcode.ModeSelect6 or Opcode.ModeSelect10:
                ModeSelect(request);
                break;
            case Opcode.ReportLuns:
                CommonCommands.ReportLuns(request);
                break;
            case Opcode.RequestSense:
                CommonCommands.RequestSense(request, SenseKey.NoSense, Asc.None);
                break;
            case Opcode.TestUnitReady or Opcode.StartStopUnit or Opcode.PreventAllowMediumRemoval:
                request.Succeed();
                break;
            case Opcode.Seek10:
                CommonCommands.CheckRange(request, _blocks);
                break;
            case Opcode.SendDiagnostic when (request.Cdb[1] & 0x04) != 0:
                request.Succeed();
                break;
            default:
                request.Fail(SenseKey.IllegalRequest, Asc.InvalidOpcode);
                break;
        }

        return ValueTask.CompletedTask;
    }

    private void Inquiry(ScsiRequest request)
    {
        Span<byte> cdb = request.Cdb;
        if ((cdb[1] & 1) == 0)
        {
            if (cdb[2] != 0)
            {
                CommonCommands.InvalidField(request);
                return;
            }

            // SPC-3, as Hyper-V's disks say to every guest.
            CommonCommands.StandardInquiry(request, DeviceType, isRemovable: false, version: 5, "Virtual Disk    ");
            return;
        }

        switch (cdb[2])
        {
            case 0x00:
                CommonCommands.VitalProductData(request, DeviceType, [0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2]);
                break;
            case 0x80:
                CommonCommands.SerialNumberPage(request, DeviceType, _disk.Id);
                break;
            case 0x83:
                CommonCommands.DeviceIdentificationPage(request, DeviceType, _disk.Id);
                break;
            case 0xB0:
                BlockLimitsPage(request);
                break;
            case 0xB1:
                BlockDeviceCharacteristicsPage(request);
                break;
            case 0xB2:
                LogicalBlockProvisioningPage(request);
                break;
            default:
                CommonCommands.InvalidField(request);
                break;
        }
    }

    // SBC-3 6.6.4. Offsets are the page's less its 4-byte header.
    private void BlockLimitsPage(ScsiRequest request)
    {
        Span<byte> page = stackalloc byte[0x3C];
        page.Clear();
        // WSNZ: WRITE SAME with a block count of 0 ("to the end") is refused, so that its work stays bounded.
        page[0] = 1;
        BinaryPrimitives.WriteUInt16BigEndian(page[2..], (ushort)Math.Max(1, _disk.PhysicalSectorBytes / _sectorBytes));
        if (CanUnmap)
        {
            BinaryPrimitives.WriteUInt32BigEndian(page[16..], uint.MaxValue);
            BinaryPrimitives.WriteUInt32BigEndian(page[20..], MaxUnmapDescriptors);
            BinaryPrimitives.WriteUInt32BigEndian(page[24..], (uint)UnmapGranularityBlocks);
            BinaryPrimitives.WriteUInt32BigEndian(page[28..], 0x8000_0000);
        }

        BinaryPrimitives.WriteInt64BigEndian(page[32..], MaxWriteSameBytes / _sectorBytes);
        CommonCommands.VitalProductData(request, DeviceType, page);
    }

    // SBC-3 6.6.3: medium rotation rate 1 is non-rotating.
    private void BlockDeviceCharacteristicsPage(ScsiRequest request)
    {
        Span<byte> page = stackalloc byte[0x3C];
        page.Clear();
        page[1] = 1;
        CommonCommands.VitalProductData(request, DeviceType, page);
    }

    // SBC-3 6.6.7: LBPU, LBPWS, LBPWS10, LBPRZ; thin.
    private void LogicalBlockProvisioningPage(ScsiRequest request)
    {
        ReadOnlySpan<byte> page = CanUnmap ? [0, 0xE4, 2, 0] : [0, 0, 0, 0];
        CommonCommands.VitalProductData(request, DeviceType, page);
    }

    private void ReadCapacity10(ScsiRequest request)
    {
        Span<byte> data = stackalloc byte[8];
        BinaryPrimitives.WriteUInt32BigEndian(data, (uint)Math.Min(_blocks - 1, uint.MaxValue));
        BinaryPrimitives.WriteInt32BigEndian(data[4..], _sectorBytes);
        CommonCommands.Respond(request, data, data.Length);
    }

    // SBC-3 5.16.
    private void ReadCapacity16(ScsiRequest request)
    {
        Span<byte> data = stackalloc byte[32];
        data.Clear();
        BinaryPrimitives.WriteUInt64BigEndian(data, _blocks - 1);
        BinaryPrimitives.WriteInt32BigEndian(data[8..], _sectorBytes);
        data[13] = (byte)int.Log2(Math.Max(1, _disk.PhysicalSectorBytes / _sectorBytes));
        // LBPME, LBPRZ.
        data[14] = (byte)(CanUnmap ? 0xC0 : 0);
        uint allocation = BinaryPrimitives.ReadUInt32BigEndian(request.Cdb[10..]);
        CommonCommands.Respond(request, data, (int)Math.Min(allocation, data.Length));
    }
}

// A CD/DVD drive: MMC-6 over a disk of 2048-byte sectors (an ISO image), with the identity of Hyper-V's DVD drive. The medium
// shows as a finished CD-ROM with one data track (or DVD-ROM above CD sizes), which is what drivers/scsi/sr.c and
// drivers/cdrom/cdrom.c ask about.
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Sharpvisor.Core;

namespace Sharpvisor.Storage.Scsi;

/// <summary>A read-only optical drive's command set. Thread-safe.</summary>
public sealed partial class ScsiDvd : IScsiTarget
{
    // 80 minutes of 75 sectors each second: more does not fit a CD.
    private const uint MaxCdBlocks = 80 * 60 * 75;
    private const ushort ProfileCdRom = 0x0008;
    private const ushort ProfileDvdRom = 0x0010;

    private readonly Lock _lock = new();
    private IDisk? _medium;
    private bool _mediumChanged;
    private bool _removalPrevented;
    private byte _mediaEvent;

    /// <param name="medium">The medium in the drive, with sectors of 2048 bytes; null for an empty drive. Stays its owner's.</param>
    public ScsiDvd(IDisk? medium)
    {
        CheckMedium(medium);
        _medium = medium;
    }

    /// <inheritdoc/>
    public byte DeviceType => 5;

    /// <summary>Changes the medium (null: takes it out); the guest gets unit attention and a media event.</summary>
    /// <returns>The medium that was there.</returns>
    public IDisk? Insert(IDisk? medium)
    {
        CheckMedium(medium);
        lock (_lock)
        {
            IDisk? old = _medium;
            _medium = medium;
            _mediumChanged = medium is not null;
            // MMC-6 table 309: 2 new media, 3 media removal.
            _mediaEvent = (byte)(medium is null ? 3 : 2);
            return old;
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        lock (_lock)
        {
            _removalPrevented = false;
        }
    }

    /// <inheritdoc/>
    public ValueTask ExecuteAsync(ScsiRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        byte opcode = request.Cdb[0];
        IDisk? medium;
        bool changed;
        lock (_lock)
        {
            medium = _medium;
            // SPC-4 5.14: these three neither report nor clear a unit attention.
            changed = _mediumChanged
                && opcode is not (Opcode.Inquiry or Opcode.RequestSense or Opcode.ReportLuns or Opcode.GetConfiguration
                    or Opcode.GetEventStatusNotification);
            _mediumChanged &= !changed;
        }

        if (changed)
        {
            request.Fail(SenseKey.UnitAttention, Asc.MediumMayHaveChanged);
            return ValueTask.CompletedTask;
        }

        if (TryExecuteOnDrive(request, opcode, medium))
        {
            return ValueTask.CompletedTask;
        }

        return medium is null
            ? NotReady(request, opcode)
            : ExecuteOnMedium(request, opcode, medium);
    }

    // Commands that need no medium.
    private bool TryExecuteOnDrive(ScsiRequest request, byte opcode, IDisk? medium)
    {
        switch (opcode)
        {
            case Opcode.Inquiry:
                Inquiry(request);
                return true;
            case Opcode.RequestSense:
                CommonCommands.RequestSense(request, SenseKey.NoSense, Asc.None);
                return true;
            case Opcode.ReportLuns:
                CommonCommands.ReportLuns(request);
                return true;
            case Opcode.GetConfiguration:
                GetConfiguration(request, medium);
                return true;
            case Opcode.GetEventStatusNotification:
                GetEventStatus(request);
                return true;
            case Opcode.ModeSense6 or Opcode.ModeSense10:
                ModeSense(request);
                return true;
            case Opcode.MechanismStatus:
                Span<byte> status = stackalloc byte[8];
                status.Clear();
                CommonCommands.Respond(request, status, BinaryPrimitives.ReadUInt16BigEndian(request.Cdb[8..]));
                return true;
            case Opcode.PreventAllowMediumRemoval:
                lock (_lock)
                {
                    _removalPrevented = (request.Cdb[4] & 1) != 0;
                }

                request.Succeed();
                return true;
            case Opcode.StartStopUnit:
                StartStopUnit(request);
                return true;
            case Opcode.SetCdSpeed:
            case Opcode.SendDiagnostic when (request.Cdb[1] & 0x04) != 0:
                request.Succeed();
                return true;
            default:
                return false;
        }
    }

    private ValueTask ExecuteOnMedium(ScsiRequest request, byte opcode, IDisk medium)
    {
        switch (opcode)
        {
            case Opcode.Read6 or Opcode.Read10 or Opcode.Read12 or Opcode.Read16:
                return Read(request, medium, BlockRange.Of(request.Cdb));
            case Opcode.ReadCd:
                return ReadCd(request, medium);
            case Opcode.TestUnitReady or Opcode.SynchronizeCache10:
                request.Succeed();
                break;
            case Opcode.Verify10 or Opcode.Verify12 or Opcode.Seek10:
                CommonCommands.CheckRange(request, BlocksOf(medium));
                break;
            case Opcode.ReadCapacity10:
                Span<byte> capacity = stackalloc byte[8];
                BinaryPrimitives.WriteUInt32BigEndian(capacity, BlocksOf(medium) - 1);
                BinaryPrimitives.WriteInt32BigEndian(capacity[4..], medium.LogicalSectorBytes);
                CommonCommands.Respond(request, capacity, capacity.Length);
                break;
            case Opcode.ReadTocPmaAtip:
                ReadToc(request, BlocksOf(medium));
                break;
            case Opcode.ReadDiscInformation:
                ReadDiscInformation(request);
                break;
            case Opcode.ReadTrackInformation:
                ReadTrackInformation(request, BlocksOf(medium));
                break;
            case Opcode.ReadSubChannel:
                // Audio status "not supported"; no sub-channel data.
                CommonCommands.Respond(request, [0, 0, 0, 0], BinaryPrimitives.ReadUInt16BigEndian(request.Cdb[7..]));
                break;
            default:
                request.Fail(SenseKey.IllegalRequest, Asc.InvalidOpcode);
                break;
        }

        return ValueTask.CompletedTask;
    }

    private static ValueTask NotReady(ScsiRequest request, byte opcode)
    {
        bool needsMedium = opcode is Opcode.Read6 or Opcode.Read10 or Opcode.Read12 or Opcode.Read16 or Opcode.ReadCd
            or Opcode.TestUnitReady or Opcode.Verify10 or Opcode.Verify12 or Opcode.Seek10 or Opcode.SynchronizeCache10
            or Opcode.ReadCapacity10 or Opcode.ReadTocPmaAtip or Opcode.ReadDiscInformation or Opcode.ReadTrackInformation
            or Opcode.ReadSubChannel;
        if (needsMedium)
        {
            request.Fail(SenseKey.NotReady, Asc.MediumNotPresent);
        }
        else
        {
            request.Fail(SenseKey.IllegalRequest, Asc.InvalidOpcode);
        }

        return ValueTask.CompletedTask;
    }

    private static ValueTask Read(ScsiRequest request, IDisk medium, BlockRange range)
    {
        long bytes = (long)range.Blocks * medium.LogicalSectorBytes;
        if (!range.IsInside(BlocksOf(medium)))
        {
            request.Fail(SenseKey.IllegalRequest, Asc.LbaOutOfRange);
            return ValueTask.CompletedTask;
        }

        if (bytes > request.Data.Bytes)
        {
            CommonCommands.InvalidField(request);
            return ValueTask.CompletedTask;
        }

        request.Begin(ScsiDirection.In);
        request.Data.Truncate(bytes);
        return FinishReadAsync(request, medium.ReadAsync((long)range.Lba * medium.LogicalSectorBytes, request.Data), bytes);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private static async ValueTask FinishReadAsync(ScsiRequest request, ValueTask<DiskStatus> read, long bytes) =>
        CommonCommands.Finish(request, await read.ConfigureAwait(false), bytes);

    // MMC-6 6.15: only what an image holds, the user data of Mode 1 sectors.
    private static ValueTask ReadCd(ScsiRequest request, IDisk medium)
    {
        Span<byte> cdb = request.Cdb;
        int expectedType = (cdb[1] >> 2) & 7;
        uint blocks = BinaryPrimitives.ReadUInt32BigEndian(cdb[5..]) & 0x00FFFFFF;
        if (expectedType is not (0 or 2) || (cdb[9] & 0xF8) != 0x10 || (cdb[10] & 7) != 0)
        {
            request.Fail(SenseKey.IllegalRequest, (cdb[9] & 0xF8) == 0 ? Asc.InvalidFieldInCdb : Asc.IllegalModeForThisTrack);
            return ValueTask.CompletedTask;
        }

        return Read(request, medium, new BlockRange(BinaryPrimitives.ReadUInt32BigEndian(cdb[2..]), blocks));
    }

    private void StartStopUnit(ScsiRequest request)
    {
        // MMC-6 6.42: LoEj with Start 0 ejects, with Start 1 loads.
        bool eject = (request.Cdb[4] & 3) == 2;
        lock (_lock)
        {
            if (eject && _removalPrevented)
            {
                request.Fail(SenseKey.IllegalRequest, Asc.MediumRemovalPrevented);
                return;
            }

            if (eject && _medium is not null)
            {
                _medium = null;
                _mediaEvent = 3;
            }
        }

        request.Succeed();
    }

    private static uint BlocksOf(IDisk medium) => (uint)Math.Min(medium.Bytes / medium.LogicalSectorBytes, uint.MaxValue);

    private static void CheckMedium(IDisk? medium)
    {
        if (medium is not null && medium.LogicalSectorBytes != DiskImage.OpticalSectorBytes)
        {
            throw new ArgumentException("an optical medium has sectors of 2048 bytes", nameof(medium));
        }
    }
}

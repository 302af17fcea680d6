// Where SCSI command sets (Sharpvisor.Storage) meet the transports that carry them: ATAPI and StorVSP. Statuses are SAM-5's,
// sense data SPC-4's.
using System.Buffers.Binary;

namespace Sharpvisor.Core;

/// <summary>SAM-5 5.3.</summary>
public enum ScsiStatus : byte
{
    Good = 0x00,
    CheckCondition = 0x02,
    Busy = 0x08,
    TaskAborted = 0x40,
}

/// <summary>Which way a command moved data, as its target saw it.</summary>
public enum ScsiDirection
{
    None,
    /// <summary>Target to initiator: the target wrote to <see cref="ScsiRequest.Data"/>.</summary>
    In,
    /// <summary>Initiator to target.</summary>
    Out,
}

/// <summary>SPC-4 table 27, the keys in use.</summary>
public enum SenseKey : byte
{
    NoSense = 0,
    NotReady = 2,
    MediumError = 3,
    HardwareError = 4,
    IllegalRequest = 5,
    UnitAttention = 6,
    DataProtect = 7,
    AbortedCommand = 11,
    Miscompare = 14,
}

/// <summary>
/// One command: the initiator fills in the CDB and the data buffer, the target the rest. Reusable; owned by the transport,
/// and by the target between <see cref="IScsiTarget.ExecuteAsync"/> and its completion.
/// </summary>
public sealed class ScsiRequest
{
    public const int CdbBytes = 16;

    /// <summary>Fixed-format sense data as this target makes it (SPC-4 4.5.3).</summary>
    public const int FixedSenseBytes = 18;

    private readonly byte[] _cdb = new byte[CdbBytes];
    private readonly byte[] _sense = new byte[FixedSenseBytes];

    /// <summary>The command descriptor block, zero-padded to 16 bytes.</summary>
    public Span<byte> Cdb => _cdb;

    /// <summary>The initiator's data buffer. A target may truncate it to what it used.</summary>
    public SegmentList Data { get; } = new();

    public ScsiStatus Status { get; private set; }

    public ScsiDirection Direction { get; private set; }

    /// <summary>Bytes moved in <see cref="Direction"/>.</summary>
    public int TransferredBytes { get; private set; }

    /// <summary>Sense data; empty unless <see cref="Status"/> is CHECK CONDITION.</summary>
    public ReadOnlySpan<byte> Sense => _sense.AsSpan(0, Status == ScsiStatus.CheckCondition ? FixedSenseBytes : 0);

    /// <summary>Back to an empty request.</summary>
    public void Reset()
    {
        Array.Clear(_cdb);
        Data.Clear();
        Status = ScsiStatus.Good;
        Direction = ScsiDirection.None;
        TransferredBytes = 0;
    }

    /// <summary>Says which way data goes, before any of it is moved.</summary>
    public void Begin(ScsiDirection direction) => Direction = direction;

    /// <summary>GOOD, having moved this many bytes.</summary>
    public void Succeed(int transferredBytes = 0)
    {
        Status = ScsiStatus.Good;
        TransferredBytes = transferredBytes;
    }

    /// <summary>CHECK CONDITION with current fixed-format sense data; <paramref name="asc"/> holds additional sense code (high byte) and qualifier (low byte).</summary>
    public void Fail(SenseKey key, ushort asc)
    {
        Status = ScsiStatus.CheckCondition;
        TransferredBytes = 0;
        WriteFixedSense(_sense, key, asc);
    }

    /// <summary>A status without sense data.</summary>
    public void Fail(ScsiStatus status)
    {
        Status = status;
        TransferredBytes = 0;
    }

    /// <summary>SPC-4 4.5.3: response code 70h, additional length to byte 17.</summary>
    public static void WriteFixedSense(Span<byte> sense, SenseKey key, ushort asc)
    {
        sense[..FixedSenseBytes].Clear();
        sense[0] = 0x70;
        sense[2] = (byte)key;
        sense[7] = FixedSenseBytes - 8;
        BinaryPrimitives.WriteUInt16BigEndian(sense[12..], asc);
    }
}

/// <summary>A logical unit. Thread-safe: commands overlap.</summary>
public interface IScsiTarget
{
    /// <summary>SPC-4 peripheral device type: 0 disk, 5 CD/DVD.</summary>
    byte DeviceType { get; }

    /// <summary>Runs one command. Never throws for what a guest did or a disk refused: that is in the request's status.</summary>
    ValueTask ExecuteAsync(ScsiRequest request);

    /// <summary>LUN reset: mode pages back to their defaults. Commands under way go on to their end.</summary>
    void Reset();
}

// Numbers of the NVM Express Base Specification 1.4: opcodes (figures 139 and 346), status codes (4.6.1), register offsets (3.1).
namespace Sharpvisor.Devices.Nvme;

/// <summary>Status code type in bits 10..8, status code in bits 7..0.</summary>
internal enum NvmeStatus : ushort
{
    Success = 0x000,
    InvalidOpcode = 0x001,
    InvalidField = 0x002,
    DataTransferError = 0x004,
    InternalError = 0x006,
    InvalidNamespace = 0x00B,
    InvalidPrpOffset = 0x013,
    WriteProtected = 0x020,
    LbaOutOfRange = 0x080,
    InvalidCompletionQueue = 0x100,
    InvalidQueueId = 0x101,
    InvalidQueueSize = 0x102,
    EventRequestLimit = 0x105,
    InvalidInterruptVector = 0x108,
    InvalidLogPage = 0x109,
    InvalidQueueDeletion = 0x10C,
    FeatureNotSaveable = 0x10D,
    WriteFault = 0x280,
    UnrecoveredReadError = 0x281,
}

internal static class NvmeAdmin
{
    public const byte DeleteSubmissionQueue = 0x00;
    public const byte CreateSubmissionQueue = 0x01;
    public const byte GetLogPage = 0x02;
    public const byte DeleteCompletionQueue = 0x04;
    public const byte CreateCompletionQueue = 0x05;
    public const byte Identify = 0x06;
    public const byte Abort = 0x08;
    public const byte SetFeatures = 0x09;
    public const byte GetFeatures = 0x0A;
    public const byte AsyncEventRequest = 0x0C;
}

internal static class NvmeIo
{
    public const byte Flush = 0x00;
    public const byte Write = 0x01;
    public const byte Read = 0x02;
    public const byte WriteZeroes = 0x08;
    public const byte DatasetManagement = 0x09;
}

internal static class NvmeRegister
{
    public const int Capabilities = 0x00;
    public const int Version = 0x08;
    public const int Configuration = 0x14;
    public const int Status = 0x1C;
    public const int AdminAttributes = 0x24;
    public const int AdminSubmission = 0x28;
    public const int AdminCompletion = 0x30;

    /// <summary>CC.</summary>
    public const uint Enable = 1;

    /// <summary>CSTS.</summary>
    public const uint Ready = 1;
    public const uint Fatal = 2;
    public const uint ShutdownOccurring = 1 << 2;
    public const uint ShutdownComplete = 2 << 2;
    public const uint ShutdownMask = 3 << 2;
}

// SCSI operation codes: SPC-4 table D.2, SBC-3 table 13, MMC-6 table 229.
namespace Sharpvisor.Storage.Scsi;

internal static class Opcode
{
    public const byte TestUnitReady = 0x00;
    public const byte RequestSense = 0x03;
    public const byte Read6 = 0x08;
    public const byte Write6 = 0x0A;
    public const byte Inquiry = 0x12;
    public const byte ModeSelect6 = 0x15;
    public const byte ModeSense6 = 0x1A;
    public const byte StartStopUnit = 0x1B;
    public const byte SendDiagnostic = 0x1D;
    public const byte PreventAllowMediumRemoval = 0x1E;
    public const byte ReadCapacity10 = 0x25;
    public const byte Read10 = 0x28;
    public const byte Write10 = 0x2A;
    public const byte Seek10 = 0x2B;
    public const byte WriteAndVerify10 = 0x2E;
    public const byte Verify10 = 0x2F;
    public const byte SynchronizeCache10 = 0x35;
    public const byte WriteSame10 = 0x41;
    public const byte Unmap = 0x42;
    public const byte ReadSubChannel = 0x42;
    public const byte ReadTocPmaAtip = 0x43;
    public const byte GetConfiguration = 0x46;
    public const byte GetEventStatusNotification = 0x4A;
    public const byte ReadDiscInformation = 0x51;
    public const byte ReadTrackInformation = 0x52;
    public const byte ModeSelect10 = 0x55;
    public const byte ModeSense10 = 0x5A;
    public const byte Read16 = 0x88;
    public const byte Write16 = 0x8A;
    public const byte WriteAndVerify16 = 0x8E;
    public const byte Verify16 = 0x8F;
    public const byte SynchronizeCache16 = 0x91;
    public const byte WriteSame16 = 0x93;
    public const byte ServiceActionIn16 = 0x9E;
    public const byte ReportLuns = 0xA0;
    public const byte Read12 = 0xA8;
    public const byte Write12 = 0xAA;
    public const byte WriteAndVerify12 = 0xAE;
    public const byte Verify12 = 0xAF;
    public const byte SetCdSpeed = 0xBB;
    public const byte MechanismStatus = 0xBD;
    public const byte ReadCd = 0xBE;

    /// <summary>SBC-3 table 65: the service action of SERVICE ACTION IN (16).</summary>
    public const byte ReadCapacity16Action = 0x10;
}

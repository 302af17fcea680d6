// Register bits and command codes of ATA/ATAPI-7 (INCITS 397-2005, volume 1, clauses 6 and 7).
namespace Sharpvisor.Devices.Ide;

/// <summary>Bits of the Status register.</summary>
internal static class AtaStatus
{
    public const byte Error = 0x01;
    public const byte DataRequest = 0x08;
    public const byte SeekComplete = 0x10;
    public const byte Ready = 0x40;
    public const byte Busy = 0x80;
}

/// <summary>Bits of the Error register.</summary>
internal static class AtaError
{
    public const byte Abort = 0x04;
    public const byte IdNotFound = 0x10;
    public const byte Uncorrectable = 0x40;
}

/// <summary>Command codes.</summary>
internal static class AtaCommand
{
    public const byte Nop = 0x00;
    public const byte DeviceReset = 0x08;
    public const byte Recalibrate = 0x10;
    public const byte ReadSectors = 0x20;
    public const byte ReadSectorsNoRetry = 0x21;
    public const byte ReadSectorsExt = 0x24;
    public const byte ReadDmaExt = 0x25;
    public const byte ReadNativeMaxExt = 0x27;
    public const byte ReadMultipleExt = 0x29;
    public const byte WriteSectors = 0x30;
    public const byte WriteSectorsNoRetry = 0x31;
    public const byte WriteSectorsExt = 0x34;
    public const byte WriteDmaExt = 0x35;
    public const byte WriteMultipleExt = 0x39;
    public const byte ReadVerify = 0x40;
    public const byte ReadVerifyNoRetry = 0x41;
    public const byte ReadVerifyExt = 0x42;
    public const byte Seek = 0x70;
    public const byte ExecuteDiagnostic = 0x90;
    public const byte InitializeParameters = 0x91;
    public const byte StandbyImmediateOld = 0x94;
    public const byte IdleImmediateOld = 0x95;
    public const byte StandbyOld = 0x96;
    public const byte IdleOld = 0x97;
    public const byte CheckPowerModeOld = 0x98;
    public const byte SleepOld = 0x99;
    public const byte Packet = 0xA0;
    public const byte IdentifyPacket = 0xA1;
    public const byte ReadMultiple = 0xC4;
    public const byte WriteMultiple = 0xC5;
    public const byte SetMultiple = 0xC6;
    public const byte ReadDma = 0xC8;
    public const byte ReadDmaNoRetry = 0xC9;
    public const byte WriteDma = 0xCA;
    public const byte WriteDmaNoRetry = 0xCB;
    public const byte StandbyImmediate = 0xE0;
    public const byte IdleImmediate = 0xE1;
    public const byte Standby = 0xE2;
    public const byte Idle = 0xE3;
    public const byte CheckPowerMode = 0xE5;
    public const byte Sleep = 0xE6;
    public const byte FlushCache = 0xE7;
    public const byte FlushCacheExt = 0xEA;
    public const byte Identify = 0xEC;
    public const byte SetFeatures = 0xEF;
    public const byte ReadNativeMax = 0xF8;
}

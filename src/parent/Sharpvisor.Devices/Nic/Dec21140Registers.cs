// Registers and descriptors of the DECchip 21140A (Digital Semiconductor 21140A PCI Fast Ethernet LAN Controller, Hardware Reference
// Manual, EC-QN7NC-TE, chapters 3 and 4). CSRn is at offset 8n; all are 32 bits.
namespace Sharpvisor.Devices.Nic;

internal static class Dec21140Registers
{
    public const int Count = 16;
    public const int Bytes = 128;

    // CSR0, bus mode.
    public const uint SoftwareReset = 1;
    public const int SkipLengthShift = 2;
    public const uint SkipLengthMask = 0x1F;

    // CSR5, status. The low half are interrupt sources.
    public const uint TransmitInterrupt = 1;
    public const uint TransmitUnavailable = 1 << 2;
    public const uint ReceiveInterrupt = 1 << 6;
    public const uint ReceiveUnavailable = 1 << 7;
    public const uint TimerExpired = 1 << 11;
    public const uint FatalBusError = 1 << 13;
    public const uint AbnormalSummary = 1 << 15;
    public const uint NormalSummary = 1 << 16;
    public const uint InterruptSources = 0x7FFF;

    /// <summary>The sources of <see cref="NormalSummary"/>: CSR5&lt;0,2,6,11,14&gt;; the others are abnormal.</summary>
    public const uint NormalSources = TransmitInterrupt | TransmitUnavailable | ReceiveInterrupt | TimerExpired | (1 << 14);
    public const uint StatusFixed = 0xFC00_0000;
    public const int ReceiveStateShift = 17;
    public const int TransmitStateShift = 20;
    public const uint ReceiveWaiting = 3;
    public const uint ReceiveSuspended = 4;
    public const uint TransmitRunning = 1;
    public const uint TransmitSuspended = 6;

    /// <summary>CSR5&lt;25:23&gt;: master abort, nobody answered.</summary>
    public const uint MasterAbort = 1 << 23;

    // CSR6, operating mode.
    public const uint StartReceive = 1 << 1;
    public const uint PassAllMulticast = 1 << 7;
    public const uint Promiscuous = 1 << 6;
    public const uint LoopbackMode = 3 << 10;
    public const uint StartTransmit = 1 << 13;
    public const uint ReceiveAll = 1 << 30;

    /// <summary>CSR6&lt;0,2,4&gt; show the last setup frame's filter.</summary>
    public const uint FilterBits = 0x15;

    // CSR9, serial ROM and MII management. The pins' positions.
    public const uint RomSelect = 1 << 11;
    public const uint RomRead = 1 << 14;

    // Descriptors: word 0 is status, word 1 control and sizes.
    public const uint Owned = 0x8000_0000;
    public const uint EndOfRing = 1 << 25;
    public const uint Chained = 1 << 24;
    public const int Size2Shift = 11;
    public const uint SizeMask = 0x7FF;

    public const uint InterruptOnCompletion = 1u << 31;
    public const uint LastSegment = 1 << 30;
    public const uint FirstSegment = 1 << 29;
    public const uint FilterType1 = 1 << 28;
    public const uint SetupPacket = 1 << 27;
    public const uint FilterType0 = 1 << 22;

    public const uint ReceiveFirst = 1 << 9;
    public const uint ReceiveLast = 1 << 8;
    public const uint ReceiveMulticast = 1 << 10;
    public const uint ReceiveTooLong = 1 << 7;
    public const uint ReceiveEthernetType = 1 << 5;
    public const int ReceiveLengthShift = 16;
}

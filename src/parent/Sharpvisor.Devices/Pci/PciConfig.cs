// Offsets and bits of a type 0 PCI configuration header (PCI Local Bus Specification 3.0, 6.1 and 6.2).
namespace Sharpvisor.Devices.Pci;

/// <summary>Configuration header offsets and command register bits.</summary>
public static class PciConfig
{
    public const int VendorId = 0x00;
    public const int DeviceId = 0x02;
    public const int Command = 0x04;
    public const int Status = 0x06;
    public const int Revision = 0x08;
    public const int ClassCode = 0x09;
    public const int CacheLineSize = 0x0C;
    public const int LatencyTimer = 0x0D;
    public const int HeaderType = 0x0E;
    public const int Bar0 = 0x10;
    public const int SubsystemVendorId = 0x2C;
    public const int SubsystemId = 0x2E;
    public const int Capabilities = 0x34;
    public const int InterruptLine = 0x3C;
    public const int InterruptPin = 0x3D;

    public const ushort CommandIo = 1;
    public const ushort CommandMemory = 2;
    public const ushort CommandBusMaster = 4;
    public const ushort CommandInterruptDisable = 0x400;

    /// <summary>Status bit 4: there is a capabilities list.</summary>
    public const ushort StatusCapabilities = 0x10;

    /// <summary>The write-one-to-clear error bits of the status register.</summary>
    public const ushort StatusErrors = 0xF900;
}

// The constant part of a PCI configuration header (PCI Local Bus Specification 3.0, 6.1).
namespace Sharpvisor.Devices.Pci;

/// <summary>What a function says it is.</summary>
/// <param name="Vendor">Offset 0x00.</param>
/// <param name="Device">Offset 0x02.</param>
/// <param name="ClassCode">Offsets 0x09..0x0B: base class, subclass, programming interface, as 0xBBSSPP.</param>
/// <param name="Revision">Offset 0x08.</param>
/// <param name="SubsystemVendor">Offset 0x2C.</param>
/// <param name="Subsystem">Offset 0x2E.</param>
/// <param name="MultiFunction">Bit 7 of the header type: the slot has more functions than function 0.</param>
public readonly record struct PciIdentity(
    ushort Vendor,
    ushort Device,
    uint ClassCode,
    byte Revision = 0,
    ushort SubsystemVendor = 0,
    ushort Subsystem = 0,
    bool MultiFunction = false);

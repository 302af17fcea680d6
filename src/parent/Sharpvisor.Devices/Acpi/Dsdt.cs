// The DSDT's definition block: the devices that an operating system cannot find by probing
// (ACPI 6.4, chapter 6; for VMBus drivers/hv/vmbus_drv.c, vmbus_acpi_add).
using Sharpvisor.Devices.Pci;

namespace Sharpvisor.Devices.Acpi;

/// <summary>Builds the DSDT's AML.</summary>
internal static class Dsdt
{
    // PIRQA..D, as Chipset programs PIRQRC: INTA of slot 0 is PIRQA.
    public static readonly byte[] PirqInterrupts = [11, 10, 11, 10];

    private const int FirstSlot = 1;
    private const int LastSlot = 20;

    public static byte[] Build(int processors, bool integration, ulong highRamBytes)
    {
        List<byte[]> system = [PciRoot()];
        if (integration)
        {
            system.Add(Vmbus(highRamBytes));
        }

        for (int i = 0; i < processors; i++)
        {
            system.Add(Aml.Device(
                $"P{i:X3}",
                Aml.Name("_HID", Aml.Text("ACPI0007")),
                Aml.Name("_UID", Aml.Integer((ulong)i)),
                Aml.ReturningMethod("_STA", Aml.Integer(15))));
        }

        byte[] softOff = Aml.Integer(Piix4PowerManagement.SleepTypeSoftOff);
        byte[] zero = Aml.Integer(0);
        return
        [
            .. Aml.Name("\\_S0", Aml.Package(Aml.Integer(5), Aml.Integer(5), zero, zero)),
            .. Aml.Name("\\_S5", Aml.Package(softOff, softOff, zero, zero)),
            .. Aml.Scope("\\_SB", [.. system]),
        ];
    }

    private static byte[] PciRoot() => Aml.Device(
        "PCI0",
        Aml.Name("_HID", Aml.EisaId("PNP0A03")),
        Aml.Name("_UID", Aml.Integer(0)),
        Aml.Name("_CRS", Aml.Resources(
            Aml.BusNumbers(0, 0xFF),
            Aml.IoWindow(0, 0xCF7),
            Aml.Io(0xCF8, 8),
            Aml.IoWindow(0xD00, 0xFFFF),
            Aml.MemoryWindow32((uint)PlatformLayout.VgaGpa, (uint)(PlatformLayout.VgaGpa + PlatformLayout.VgaBytes - 1)),
            Aml.MemoryWindow32(PlatformLayout.PciWindowFirst, PlatformLayout.PciWindowLast))),
        Aml.Name("_PRT", Aml.Package(RoutingTable())),
        IsaBridge());

    /// <summary>ACPI 6.4, 6.2.13: slot and pin to global system interrupt; a PIRQ's ISA interrupt has that number on the IOAPIC.</summary>
    private static byte[][] RoutingTable() =>
    [
        .. from slot in Enumerable.Range(FirstSlot, LastSlot - FirstSlot + 1)
           from pin in Enumerable.Range(0, 4)
           let interrupt = PirqInterrupts[PciInterruptRouting.PirqOf(slot, pin + 1)]
           select Aml.Package(
               Aml.Integer(((ulong)slot << 16) | 0xFFFF), Aml.Integer((ulong)pin), Aml.Integer(0), Aml.Integer(interrupt)),
    ];

    private static byte[] IsaBridge() => Aml.Device(
        "SBRG",
        Aml.Name("_ADR", Aml.Integer(Piix4IsaBridge.Slot << 16)),
        Isa("PIC", "PNP0000", 0, Aml.Io(0x20, 2), Aml.Io(0xA0, 2), Aml.Irq(2)),
        Isa("TMR", "PNP0100", 0, Aml.Io(0x40, 4), Aml.Irq(0)),
        Isa("RTC0", "PNP0B00", 0, Aml.Io(0x70, 4), Aml.Irq(8)),
        Isa("SPKR", "PNP0800", 0, Aml.Io(0x61, 1)),
        Isa("COPR", "PNP0C04", 0, Aml.Io(0xF0, 0x10), Aml.Irq(13)),
        Isa("PS2K", "PNP0303", 0, Aml.Io(0x60, 1), Aml.Io(0x64, 1), Aml.Irq(1)),
        Isa("PS2M", "PNP0F13", 0, Aml.Irq(12)),
        Isa("UAR1", "PNP0501", 1, Aml.Io(0x3F8, 8), Aml.Irq(4)),
        Isa("UAR2", "PNP0501", 2, Aml.Io(0x2F8, 8), Aml.Irq(3)),
        Isa(
            "SYSR",
            "PNP0C02",
            0,
            Aml.Io(0x92, 1),
            Aml.Io(Piix4PowerManagement.SmiCommandPort, 2),
            Aml.Io(Piix4PowerManagement.DefaultBase, 0x40),
            Aml.Io(0x4D0, 2),
            Aml.Memory32Fixed((uint)IoApic.BaseGpa, (uint)IoApic.Bytes),
            Aml.Memory32Fixed(0xFEE0_0000, 0x1000)));

    private static byte[] Isa(string name, string id, ulong uid, params byte[][] resources) => Aml.Device(
        name,
        Aml.Name("_HID", Aml.EisaId(id)),
        Aml.Name("_UID", Aml.Integer(uid)),
        Aml.ReturningMethod("_STA", Aml.Integer(15)),
        Aml.Name("_CRS", Aml.Resources(resources)));

    /// <summary>
    /// VMBus under a module device that owns its MMIO: the driver takes the ranges from the nearest ancestor with any,
    /// so PCI's own window stays out of it.
    /// </summary>
    private static byte[] Vmbus(ulong highRamBytes)
    {
        (ulong first, ulong last) = PlatformLayout.VmbusHigh(highRamBytes);
        return Aml.Device(
            "VMOD",
            Aml.Name("_HID", Aml.Text("ACPI0004")),
            Aml.Name("_UID", Aml.Integer(0)),
            Aml.Name("_CRS", Aml.Resources(
                Aml.MemoryWindow32(PlatformLayout.VmbusLowFirst, PlatformLayout.VmbusLowLast),
                Aml.MemoryWindow64(first, last))),
            Aml.Device(
                "VMBS",
                Aml.Name("_DDN", Aml.Text("VMBUS")),
                Aml.Name("_HID", Aml.Text("VMBUS")),
                Aml.Name("_UID", Aml.Integer(0)),
                Aml.ReturningMethod("_STA", Aml.Integer(15)),
                Aml.Name("_CRS", Aml.Resources(Aml.Irq(5)))));
    }
}

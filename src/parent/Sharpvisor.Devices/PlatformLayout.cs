// Where things are in a Generation 1 machine's physical address space.
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Addresses that firmware tables, boot loaders and devices must agree on.</summary>
public static class PlatformLayout
{
    /// <summary>Extended BIOS data area: the last KiB below 640 KiB.</summary>
    public const ulong EbdaGpa = 0x9_FC00;

    /// <summary>Where a VGA adapter's memory would be: no RAM.</summary>
    public const ulong VgaGpa = 0xA_0000;
    public const ulong VgaBytes = 0x2_0000;

    /// <summary>RSDP and SMBIOS: searched for by guests, reserved in the memory map.</summary>
    public const ulong BiosGpa = 0xE_0000;
    public const ulong BiosBytes = 0x2_0000;
    public const ulong SmbiosGpa = 0xF_0000;
    public const ulong RsdpGpa = 0xE_0000;

    /// <summary>The last 64 KiB of low RAM, as on Hyper-V: 60 KiB ACPI tables, then 4 KiB ACPI NVS with the FACS.</summary>
    public const ulong AcpiBytes = 0x1_0000;
    public const ulong AcpiNvsBytes = 0x1000;

    /// <summary>The PCI memory window, from the end of low RAM.</summary>
    public const uint PciWindowFirst = 0xF800_0000;
    public const uint PciWindowLast = 0xFBFF_FFFF;

    /// <summary>VMBus's MMIO below 4 GiB, up to the IOAPIC.</summary>
    public const uint VmbusLowFirst = 0xFC00_0000;
    public const uint VmbusLowLast = 0xFEBF_FFFF;

    private const ulong VmbusHighDefault = 0xF_E000_0000;
    private const ulong VmbusHighBytes = 0x2000_0000;
    private const ulong GiB = 1 << 30;

    /// <summary>VMBus's MMIO above 4 GiB: Hyper-V's place, or the first GiB boundary above RAM.</summary>
    public static (ulong First, ulong Last) VmbusHigh(ulong highRamBytes)
    {
        ulong end = (GuestMemory.HighRamBase + highRamBytes + GiB - 1) & ~(GiB - 1);
        ulong first = Math.Max(end, VmbusHighDefault);
        return (first, first + VmbusHighBytes - 1);
    }
}

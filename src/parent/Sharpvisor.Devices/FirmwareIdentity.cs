// The names by which a machine says what it is, in ACPI table headers and SMBIOS. Linux's ata_piix leaves IDE disks to
// hv_storvsc on any machine with Hyper-V's DMI strings (drivers/ata/ata_piix.c, prefer_ms_hyperv), so a machine without
// integration components must not have them.
namespace Sharpvisor.Devices;

/// <summary>Firmware identity strings.</summary>
public sealed record FirmwareIdentity
{
    public static readonly FirmwareIdentity HyperV = new()
    {
        AcpiOemId = "VRTUAL",
        AcpiOemTableId = "MICROSFT",
        AcpiCreatorId = "MSFT",
        BiosVendor = "American Megatrends Inc.",
        BiosVersion = "090008 ",
        BiosDate = "12/07/2018",
        Manufacturer = "Microsoft Corporation",
        Product = "Virtual Machine",
        Version = "7.0",
        AssetTag = "7783-7084-3265-9085-8269-3286-77",
    };

    public static readonly FirmwareIdentity Neutral = new()
    {
        AcpiOemId = "SHARPV",
        AcpiOemTableId = "SHRPVISR",
        AcpiCreatorId = "SHRP",
        BiosVendor = "Sharpvisor",
        BiosVersion = "1.0",
        BiosDate = "01/01/2026",
        Manufacturer = "Sharpvisor",
        Product = "Emulated PC",
        Version = "1.0",
        AssetTag = "None",
    };

    /// <summary>Six characters.</summary>
    public required string AcpiOemId { get; init; }

    /// <summary>Eight characters.</summary>
    public required string AcpiOemTableId { get; init; }

    /// <summary>Four characters.</summary>
    public required string AcpiCreatorId { get; init; }

    public required string BiosVendor { get; init; }

    public required string BiosVersion { get; init; }

    public required string BiosDate { get; init; }

    public required string Manufacturer { get; init; }

    public required string Product { get; init; }

    public required string Version { get; init; }

    public required string AssetTag { get; init; }
}

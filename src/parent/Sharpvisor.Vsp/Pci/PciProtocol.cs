// The virtual PCI protocol's wire format: drivers/pci/controller/pci-hyperv.c, "Protocol versions" to struct pci_eject_response.
using System.Runtime.InteropServices;

namespace Sharpvisor.Vsp.Pci;

/// <summary>enum pci_message_type.</summary>
internal enum PciMessageType : uint
{
    BusRelations = 0x4249_0000,
    QueryBusRelations = 0x4249_0001,
    PowerStateChange = 0x4249_0004,
    QueryResourceRequirements = 0x4249_0005,
    QueryResources = 0x4249_0006,
    BusD0Entry = 0x4249_0007,
    BusD0Exit = 0x4249_0008,
    ReadBlock = 0x4249_0009,
    WriteBlock = 0x4249_000A,
    Eject = 0x4249_000B,
    EjectionComplete = 0x4249_000F,
    ResourcesAssigned = 0x4249_0010,
    ResourcesReleased = 0x4249_0011,
    QueryProtocolVersion = 0x4249_0013,
    CreateInterrupt = 0x4249_0014,
    DeleteInterrupt = 0x4249_0015,
    ResourcesAssigned2 = 0x4249_0016,
    CreateInterrupt2 = 0x4249_0017,
    DeleteInterrupt2 = 0x4249_0018,
    BusRelations2 = 0x4249_0019,
    ResourcesAssigned3 = 0x4249_001A,
    CreateInterrupt3 = 0x4249_001B,
}

/// <summary>enum pci_protocol_version_t: major number in the upper half.</summary>
internal static class PciVersion
{
    public const uint Win10 = 0x1_0001;
    public const uint Redstone1 = 0x1_0002;
    public const uint Vibranium = 0x1_0003;
    public const uint Server2022 = 0x1_0004;
}

/// <summary>NTSTATUS values; negative ones are failures.</summary>
internal static class PciStatus
{
    public const uint Success = 0;
    public const uint Unsuccessful = 0xC000_0001;
    public const uint InvalidParameter = 0xC000_000D;
    public const uint InvalidDeviceState = 0xC000_0184;
    public const uint NotSupported = 0xC000_00BB;

    /// <summary>The guest tries an older version then.</summary>
    public const uint RevisionMismatch = 0xC000_0059;
}

/// <summary>struct pci_function_description2; the older one ends before the flags.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct PciFunctionDescription
{
    public const int Version1Bytes = 20;

    public uint Identity;
    public uint RevisionAndClass;
    public uint Subsystem;
    public uint Slot;
    public uint SerialNumber;
    public uint Flags;
    public ushort NumaNode;
    public ushort Reserved;
}

/// <summary>struct pci_create_int_response after its descriptor, with struct tran_int_desc.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct PciInterruptAnswer
{
    public uint Status;
    public uint Reserved;
    public ushort Reserved2;
    public ushort VectorCount;
    public uint Data;
    public ulong Address;
}

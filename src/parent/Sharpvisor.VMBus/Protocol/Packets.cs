// Ring packet headers, field for field as include/linux/hyperv.h packs them. A table of wire formats.
using System.Runtime.InteropServices;

namespace Sharpvisor.VMBus.Protocol;

/// <summary>struct vmpacket_descriptor: starts every packet. Lengths are in units of 8 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct PacketDescriptor
{
    public PacketType Type;
    /// <summary>Where the payload starts.</summary>
    public ushort Offset8;
    /// <summary>Descriptor, headers and payload; without the 8-byte trailer.</summary>
    public ushort Length8;
    public PacketFlags Flags;
    public ulong TransactionId;
}

/// <summary>struct vmdata_gpa_direct after its descriptor; <see cref="GpaRangeHeader"/>s with page numbers follow.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct GpaDirectHeader
{
    public uint Reserved;
    public uint RangeCount;
}

/// <summary>struct gpa_range without its page numbers.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct GpaRangeHeader
{
    public uint ByteCount;
    public uint ByteOffset;
}

/// <summary>struct vmtransfer_page_packet_header after its descriptor; <see cref="TransferPageRange"/>s follow.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct TransferPageHeader
{
    public ushort SetId;
    public byte SenderOwnsSet;
    public byte Reserved;
    public uint RangeCount;
}

/// <summary>struct vmtransfer_page_range.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct TransferPageRange
{
    public uint ByteCount;
    public uint ByteOffset;
}

/// <summary>struct vmgpadl_packet_header after its descriptor.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct GpadlPacketHeader
{
    public uint Gpadl;
    public uint Reserved;
}

// The dynamic memory protocol's wire format: drivers/hv/hv_balloon.c, "Begin protocol definitions".
using System.Runtime.InteropServices;

namespace Sharpvisor.Vsp.Balloon;

/// <summary>enum dm_message_type.</summary>
internal enum DynamicMemoryType : ushort
{
    Error = 0,
    VersionRequest = 1,
    VersionResponse = 2,
    CapabilitiesReport = 3,
    CapabilitiesResponse = 4,
    StatusReport = 5,
    BalloonRequest = 6,
    BalloonResponse = 7,
    UnballoonRequest = 8,
    UnballoonResponse = 9,
    HotAddRequest = 10,
    HotAddResponse = 11,
    Info = 12,
}

/// <summary>struct dm_header.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct DynamicMemoryHeader
{
    public const int Bytes = 8;

    public DynamicMemoryType Type;
    /// <summary>The whole message's.</summary>
    public ushort Size;
    public uint TransactionId;
}

/// <summary>union dm_mem_page_range: first page in 40 bits, count in 24.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal readonly record struct DynamicMemoryRange(ulong Value)
{
    public const int Bytes = 8;

    public DynamicMemoryRange(ulong firstPage, ulong pages)
        : this(firstPage | (pages << 40))
    {
    }

    public ulong FirstPage => Value & ((1UL << 40) - 1);

    public ulong Pages => Value >> 40;
}

/// <summary>DYNMEM_PROTOCOL_VERSION_*: major in the upper half.</summary>
internal static class DynamicMemoryVersion
{
    public const uint Win7 = 0x0000_0003;
    public const uint Win8 = 0x0001_0000;
    public const uint Win10 = 0x0002_0000;
}

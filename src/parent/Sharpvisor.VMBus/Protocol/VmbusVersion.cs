// include/linux/hyperv.h, VERSION_*: major number in the upper half, minor in the lower.
namespace Sharpvisor.VMBus.Protocol;

/// <summary>Protocol versions.</summary>
public static class VmbusVersion
{
    /// <summary>Windows 8, Server 2012: the oldest that Linux still speaks, and that this bus offers.</summary>
    public const uint V2_4 = 0x2_0004;
    public const uint V3_0 = 0x3_0000;
    public const uint V4_0 = 0x4_0000;
    public const uint V4_1 = 0x4_0001;
    public const uint V5_0 = 0x5_0000;
    public const uint V5_1 = 0x5_0001;
    public const uint V5_2 = 0x5_0002;
    public const uint V5_3 = 0x5_0003;

    /// <summary>Every version this bus speaks, oldest first.</summary>
    public static ReadOnlySpan<uint> All => [V2_4, V3_0, V4_0, V4_1, V5_0, V5_1, V5_2, V5_3];

    /// <summary>Dotted form for traces.</summary>
    public static string Format(uint version) => $"{version >> 16}.{version & 0xFFFF}";
}

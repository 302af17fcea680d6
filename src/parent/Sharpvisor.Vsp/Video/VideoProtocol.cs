// The synthetic video protocol's wire format: drivers/gpu/drm/hyperv/hyperv_drm_proto.c, enum synthvid_msg_type and the structures after it.
using System.Runtime.InteropServices;

namespace Sharpvisor.Vsp.Video;

internal enum VideoMessage : uint
{
    VersionRequest = 1,
    VersionResponse = 2,
    VramLocation = 3,
    VramLocationAck = 4,
    SituationUpdate = 5,
    SituationUpdateAck = 6,
    PointerPosition = 7,
    PointerShape = 8,
    FeatureChange = 9,
    Dirt = 10,
    BiosInfoRequest = 11,
    BiosInfoResponse = 12,
    ResolutionRequest = 13,
    ResolutionResponse = 14,
    CapabilityRequest = 15,
    CapabilityResponse = 16,
}

/// <summary>struct synthvid_vram_location.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct VramLocation
{
    public const int Bytes = 17;

    public ulong UserContext;
    public byte IsGpaSpecified;
    public ulong Gpa;
}

/// <summary>struct synthvid_situation_update with its one output.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct SituationUpdate
{
    public const int Bytes = 27;

    public ulong UserContext;
    public byte OutputCount;
    public byte Active;
    public uint VramOffset;
    public byte DepthBits;
    public uint Width;
    public uint Height;
    public uint PitchBytes;
}

/// <summary>struct synthvid_pointer_position.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct PointerPosition
{
    public const int Bytes = 10;

    public byte IsVisible;
    public byte Output;
    public int X;
    public int Y;
}

/// <summary>struct synthvid_pointer_shape before its pixels.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct PointerShape
{
    public const int Bytes = 18;
    public const byte Complete = 0xFF;
    public const uint LargestSide = 96;

    public byte Part;
    public byte IsArgb;
    public uint Width;
    public uint Height;
    public uint HotX;
    public uint HotY;
}

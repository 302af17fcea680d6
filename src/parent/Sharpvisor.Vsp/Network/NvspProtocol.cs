// NVSP's messages: what goes over a network channel (drivers/net/hyperv/hyperv_net.h). A table of wire formats.
using System.Runtime.InteropServices;

namespace Sharpvisor.Vsp.Network;

/// <summary>NVSP_MSG*_TYPE_*.</summary>
internal enum NvspMessageType : uint
{
    Init = 1,
    InitComplete = 2,
    SendNdisVersion = 100,
    SendReceiveBuffer = 101,
    SendReceiveBufferComplete = 102,
    RevokeReceiveBuffer = 103,
    SendSendBuffer = 104,
    SendSendBufferComplete = 105,
    RevokeSendBuffer = 106,
    SendRndisPacket = 107,
    SendRndisPacketComplete = 108,
    SendNdisConfig = 125,
    SwitchDataPath = 129,
    SubChannel = 133,
    SendIndirectionTable = 134,
}

/// <summary>NVSP_STAT_*.</summary>
internal static class NvspStatus
{
    public const uint Success = 1;
    public const uint Fail = 2;
    public const uint ProtocolTooNew = 3;
    public const uint ProtocolTooOld = 4;
    public const uint InvalidRndisPacket = 5;
}

/// <summary>NVSP_PROTOCOL_VERSION_*.</summary>
internal static class NvspVersion
{
    public const uint V1 = 2;
    public const uint V2 = 0x30002;
    public const uint V4 = 0x40000;
    public const uint V5 = 0x50000;
    public const uint V6 = 0x60000;
    public const uint V61 = 0x60001;

    /// <summary>Newest first.</summary>
    public static ReadOnlySpan<uint> All => [V61, V6, V5, V4, V2, V1];
}

/// <summary>struct nvsp_2_vsc_capability.</summary>
[Flags]
internal enum NvspCapabilities : ulong
{
    None = 0,
    Ieee8021Q = 8,
    ReceiveCoalescing = 0x80,
}

/// <summary>struct nvsp_message: its type and the longest member of its union. What a sender leaves out is zero.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct NvspMessage
{
    /// <summary>Linux copies so many bytes of each answer, whatever it says (netvsc_send_completion).</summary>
    public const int Bytes = 40;

    public NvspMessageType Type;
    public uint Word0;
    public uint Word1;
    public uint Word2;
    public uint Word3;
    public uint Word4;
    public uint Word5;
    public uint Word6;
    public uint Word7;
    public uint Word8;
}

/// <summary>nvsp_message_header with nvsp_1_message_send_rndis_packet.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct NvspRndisPacket
{
    public const uint DataChannel = 0;
    public const uint ControlChannel = 1;
    public const uint NoSection = 0xFFFF_FFFF;

    public NvspMessageType Type;
    public uint ChannelType;
    public uint SectionIndex;
    public uint SectionBytes;
}

// RNDIS messages and NDIS objects (MS-RNDIS; include/linux/rndis.h; drivers/net/hyperv/hyperv_net.h). A table of wire formats.
using System.Runtime.InteropServices;

namespace Sharpvisor.Vsp.Network;

/// <summary>RNDIS_MSG_*; an answer has bit 31 set.</summary>
internal enum RndisMessageType : uint
{
    Packet = 1,
    Initialize = 2,
    Halt = 3,
    Query = 4,
    Set = 5,
    Reset = 6,
    IndicateStatus = 7,
    KeepAlive = 8,
    Complete = 0x8000_0000,
}

/// <summary>RNDIS_STATUS_*.</summary>
internal static class RndisStatus
{
    public const uint Success = 0;
    public const uint MediaConnect = 0x4001_000B;
    public const uint MediaDisconnect = 0x4001_000C;
    public const uint Failure = 0xC000_0001;
    public const uint NotSupported = 0xC000_00BB;
    public const uint InvalidLength = 0xC001_0014;
    public const uint InvalidData = 0xC001_0015;
}

/// <summary>struct rndis_packet behind the message's type and length. Offsets count from its first byte.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct RndisPacket
{
    public const int Bytes = 36;

    public uint DataOffset;
    public uint DataBytes;
    public uint OutOfBandOffset;
    public uint OutOfBandBytes;
    public uint OutOfBandCount;
    public uint PerPacketInfoOffset;
    public uint PerPacketInfoBytes;
    public uint VcHandle;
    public uint Reserved;
}

/// <summary>struct rndis_per_packet_info: its value, four bytes for each type that is spoken here, lies at <see cref="Offset"/>.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct RndisPerPacketInfo
{
    public const int Bytes = 12;

    public uint Size;
    /// <summary>Bit 31: internal, of a numbering of its own.</summary>
    public PerPacketInfoType Type;
    public uint Offset;
}

/// <summary>enum ndis_per_pkt_info_type.</summary>
internal enum PerPacketInfoType : uint
{
    Checksum = 0,
    LargeSend = 2,
    Vlan = 6,
    HashValue = 9,
    /// <summary>RNDIS_PKTINFO_ID with the internal bit.</summary>
    PacketId = 0x8000_0001,
}

/// <summary>struct ndis_tcp_ip_checksum_info, transmit.</summary>
[Flags]
internal enum TransmitChecksum : uint
{
    None = 0,
    IPv4 = 1,
    IPv6 = 2,
    Tcp = 4,
    Udp = 8,
    IPHeader = 0x10,
}

/// <summary>struct ndis_tcp_ip_checksum_info, receive.</summary>
[Flags]
internal enum ReceiveChecksum : uint
{
    None = 0,
    TcpFailed = 1,
    UdpFailed = 2,
    IPFailed = 4,
    TcpSucceeded = 8,
    UdpSucceeded = 0x10,
    IPSucceeded = 0x20,
}

/// <summary>struct rndis_pktinfo_id, whose first byte is version 1: the pieces of one coalesced packet.</summary>
[Flags]
internal enum PacketIdFlags : uint
{
    Version1 = 1,
    SubAllocation = 0x100,
    First = 0x200,
    Last = 0x400,
}

/// <summary>Bits of OID_GEN_CURRENT_PACKET_FILTER.</summary>
[Flags]
internal enum PacketFilter : uint
{
    None = 0,
    Directed = 1,
    Multicast = 2,
    AllMulticast = 4,
    Broadcast = 8,
    Promiscuous = 0x20,
}

/// <summary>Object identifiers that guests ask for (include/linux/rndis.h).</summary>
internal static class Oid
{
    public const uint GenSupportedList = 0x0001_0101;
    public const uint GenHardwareStatus = 0x0001_0102;
    public const uint GenMediaSupported = 0x0001_0103;
    public const uint GenMediaInUse = 0x0001_0104;
    public const uint GenMaximumLookahead = 0x0001_0105;
    public const uint GenMaximumFrameSize = 0x0001_0106;
    public const uint GenLinkSpeed = 0x0001_0107;
    public const uint GenTransmitBufferSpace = 0x0001_0108;
    public const uint GenReceiveBufferSpace = 0x0001_0109;
    public const uint GenTransmitBlockSize = 0x0001_010A;
    public const uint GenReceiveBlockSize = 0x0001_010B;
    public const uint GenVendorId = 0x0001_010C;
    public const uint GenVendorDescription = 0x0001_010D;
    public const uint GenCurrentPacketFilter = 0x0001_010E;
    public const uint GenCurrentLookahead = 0x0001_010F;
    public const uint GenMaximumTotalSize = 0x0001_0111;
    public const uint GenMacOptions = 0x0001_0113;
    public const uint GenMediaConnectStatus = 0x0001_0114;
    public const uint GenMaximumSendPackets = 0x0001_0115;
    public const uint GenVendorDriverVersion = 0x0001_0116;
    public const uint GenPhysicalMedium = 0x0001_0202;
    public const uint GenReceiveScaleCapabilities = 0x0001_0203;
    public const uint GenReceiveScaleParameters = 0x0001_0204;
    public const uint GenRndisConfigParameter = 0x0001_021B;
    public const uint GenFriendlyName = 0x0002_0216;
    public const uint GenXmitOk = 0x0002_0101;
    public const uint GenRcvOk = 0x0002_0102;
    public const uint GenXmitError = 0x0002_0103;
    public const uint GenRcvError = 0x0002_0104;
    public const uint GenRcvNoBuffer = 0x0002_0105;
    public const uint Ieee8023PermanentAddress = 0x0101_0101;
    public const uint Ieee8023CurrentAddress = 0x0101_0102;
    public const uint Ieee8023MulticastList = 0x0101_0103;
    public const uint Ieee8023MaximumListSize = 0x0101_0104;
    public const uint Ieee8023RcvErrorAlignment = 0x0102_0101;
    public const uint Ieee8023XmitOneCollision = 0x0102_0102;
    public const uint Ieee8023XmitMoreCollisions = 0x0102_0103;
    public const uint TcpOffloadParameters = 0xFC01_020C;
    public const uint TcpOffloadHardwareCapabilities = 0xFC01_020D;

    public static ReadOnlySpan<uint> All =>
    [
        GenSupportedList, GenHardwareStatus, GenMediaSupported, GenMediaInUse, GenMaximumLookahead, GenMaximumFrameSize, GenLinkSpeed,
        GenTransmitBufferSpace, GenReceiveBufferSpace, GenTransmitBlockSize, GenReceiveBlockSize, GenVendorId, GenVendorDescription,
        GenCurrentPacketFilter, GenCurrentLookahead, GenMaximumTotalSize, GenMacOptions, GenMediaConnectStatus, GenMaximumSendPackets,
        GenVendorDriverVersion, GenPhysicalMedium, GenReceiveScaleCapabilities, GenReceiveScaleParameters, GenRndisConfigParameter,
        GenFriendlyName, GenXmitOk, GenRcvOk, GenXmitError, GenRcvError, GenRcvNoBuffer, Ieee8023PermanentAddress, Ieee8023CurrentAddress,
        Ieee8023MulticastList, Ieee8023MaximumListSize, Ieee8023RcvErrorAlignment, Ieee8023XmitOneCollision, Ieee8023XmitMoreCollisions,
        TcpOffloadParameters, TcpOffloadHardwareCapabilities,
    ];
}

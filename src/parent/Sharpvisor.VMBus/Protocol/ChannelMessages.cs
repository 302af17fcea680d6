// The channel messages, field for field as include/linux/hyperv.h packs them (struct vmbus_channel_*). A table of wire formats:
// kept in one file to be read beside that header. Every struct includes the 8-byte message header.
using System.Runtime.InteropServices;

namespace Sharpvisor.VMBus.Protocol;

/// <summary>struct vmbus_channel_message_header; also the whole of REQUESTOFFERS, ALLOFFERS_DELIVERED, UNLOAD and UNLOAD_RESPONSE.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct MessageHeader
{
    public ChannelMessageType Type;
    public uint Padding;
}

/// <summary>struct vmbus_channel_offer_channel with struct vmbus_channel_offer inside: 196 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct OfferChannelMessage
{
    public MessageHeader Header;
    public Guid InterfaceId;
    public Guid InstanceId;
    public ulong Reserved1;
    public ulong Reserved2;
    public OfferFlags Flags;
    public ushort MmioMegabytes;
    public UserData120 UserData;
    public ushort SubchannelIndex;
    public ushort MmioMegabytesOptional;
    public uint Relid;
    public byte MonitorId;
    public byte MonitorAllocated;
    public ushort IsDedicatedInterrupt;
    public uint ConnectionId;
}

/// <summary>struct vmbus_channel_rescind_offer, vmbus_channel_close_channel, vmbus_channel_relid_released.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct RelidMessage
{
    public MessageHeader Header;
    public uint Relid;
}

/// <summary>struct vmbus_channel_open_channel.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct OpenChannelMessage
{
    public MessageHeader Header;
    public uint Relid;
    public uint OpenId;
    public uint RingGpadl;
    public uint TargetVp;
    public uint DownstreamPageOffset;
    public UserData120 UserData;
}

/// <summary>struct vmbus_channel_open_result.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct OpenResultMessage
{
    public MessageHeader Header;
    public uint Relid;
    public uint OpenId;
    public uint Status;
}

/// <summary>struct vmbus_channel_gpadl_header; <c>gpa_range</c>s follow.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct GpadlHeaderMessage
{
    public MessageHeader Header;
    public uint Relid;
    public uint Gpadl;
    public ushort RangeBytes;
    public ushort RangeCount;
}

/// <summary>struct vmbus_channel_gpadl_body; page numbers follow.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct GpadlBodyMessage
{
    public MessageHeader Header;
    public uint MessageNumber;
    public uint Gpadl;
}

/// <summary>struct vmbus_channel_gpadl_created.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct GpadlCreatedMessage
{
    public MessageHeader Header;
    public uint Relid;
    public uint Gpadl;
    public uint Status;
}

/// <summary>struct vmbus_channel_gpadl_teardown.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct GpadlTeardownMessage
{
    public MessageHeader Header;
    public uint Relid;
    public uint Gpadl;
}

/// <summary>struct vmbus_channel_gpadl_torndown.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct GpadlTorndownMessage
{
    public MessageHeader Header;
    public uint Gpadl;
}

/// <summary>struct vmbus_channel_initiate_contact.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct InitiateContactMessage
{
    public MessageHeader Header;
    public uint Version;
    public uint TargetVp;
    /// <summary>Below 5.0 the interrupt page's address; from 5.0 on SINT in byte 0, from 5.1 on VTL in byte 1.</summary>
    public ulong InterruptPageOrTarget;
    public ulong MonitorPageParentToChild;
    public ulong MonitorPageChildToParent;
}

/// <summary>struct vmbus_channel_version_response.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VersionResponseMessage
{
    public MessageHeader Header;
    public byte VersionSupported;
    public byte ConnectionState;
    public ushort Padding;
    /// <summary>Below 5.0 the version, from 5.0 on the connection id for further messages.</summary>
    public uint VersionOrConnectionId;
}

/// <summary>struct vmbus_channel_modifychannel.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct ModifyChannelMessage
{
    public MessageHeader Header;
    public uint Relid;
    public uint TargetVp;
}

/// <summary>struct vmbus_channel_modifychannel_response.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct ModifyChannelResponseMessage
{
    public MessageHeader Header;
    public uint Relid;
    public uint Status;
}

/// <summary>struct vmbus_channel_tl_connect_request.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct TlConnectRequestMessage
{
    public MessageHeader Header;
    public Guid EndpointId;
    public Guid ServiceId;
}

/// <summary>CHANNELMSG_TL_CONNECT_RESULT, as OpenVMM's vmbus_core defines it.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct TlConnectResultMessage
{
    public MessageHeader Header;
    public Guid EndpointId;
    public Guid ServiceId;
    public uint Status;
}

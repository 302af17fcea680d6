// include/linux/hyperv.h, enum vmbus_channel_message_type; names of 18 to 20 from OpenVMM's vmbus_core.
namespace Sharpvisor.VMBus.Protocol;

/// <summary>The first field of every channel message.</summary>
public enum ChannelMessageType : uint
{
    Invalid = 0,
    OfferChannel = 1,
    RescindChannelOffer = 2,
    RequestOffers = 3,
    AllOffersDelivered = 4,
    OpenChannel = 5,
    OpenChannelResult = 6,
    CloseChannel = 7,
    GpadlHeader = 8,
    GpadlBody = 9,
    GpadlCreated = 10,
    GpadlTeardown = 11,
    GpadlTorndown = 12,
    RelidReleased = 13,
    InitiateContact = 14,
    VersionResponse = 15,
    Unload = 16,
    UnloadResponse = 17,
    OpenReservedChannel = 18,
    CloseReservedChannel = 19,
    CloseReservedResponse = 20,
    TlConnectRequest = 21,
    ModifyChannel = 22,
    TlConnectResult = 23,
    ModifyChannelResponse = 24,
}

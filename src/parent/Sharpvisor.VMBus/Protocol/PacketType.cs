// include/linux/hyperv.h, enum vmbus_packet_type.
namespace Sharpvisor.VMBus.Protocol;

/// <summary>What a ring packet is.</summary>
public enum PacketType : ushort
{
    Invalid = 0,
    Synch = 1,
    AddTransferPageSet = 2,
    RemoveTransferPageSet = 3,
    EstablishGpadl = 4,
    TeardownGpadl = 5,
    DataInBand = 6,
    DataUsingTransferPages = 7,
    DataUsingGpadl = 8,
    DataUsingGpaDirect = 9,
    CancelRequest = 10,
    Completion = 11,
    DataUsingAdditionalPackets = 12,
    AdditionalData = 13,
}

// include/linux/hyperv.h, VMBUS_DATA_PACKET_FLAG_COMPLETION_REQUESTED.
namespace Sharpvisor.VMBus.Protocol;

/// <summary>Flags of a ring packet.</summary>
[Flags]
public enum PacketFlags : ushort
{
    None = 0,
    CompletionRequested = 1,
}

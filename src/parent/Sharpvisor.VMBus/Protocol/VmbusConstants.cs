// Numbers both ends of VMBus agree on (drivers/hv/hyperv_vmbus.h, include/linux/hyperv.h, OpenVMM's vmbus_core).
namespace Sharpvisor.VMBus.Protocol;

/// <summary>Protocol constants.</summary>
public static class VmbusConstants
{
    /// <summary>Messages of guests up to version 4.1 come here.</summary>
    public const uint MessageConnectionId = 1;

    /// <summary>Messages of guests from version 5.0 on come here, and the version response names it.</summary>
    public const uint MessageConnectionId4 = 4;

    /// <summary>VMBUS_MESSAGE_SINT: messages and channel interrupts arrive here.</summary>
    public const byte Sint = 2;

    /// <summary>Hypervisor message type of a channel message.</summary>
    public const uint MessageType = 1;

    /// <summary>HV_MESSAGE_PAYLOAD_BYTE_COUNT.</summary>
    public const int MaxMessageBytes = 240;

    /// <summary>MAX_USER_DEFINED_BYTES.</summary>
    public const int UserDataBytes = 120;

    /// <summary>Relids are 1 to this: event flag 0 of 2048 means "message" to drivers.</summary>
    public const uint MaxRelid = 2047;

    /// <summary>Target VP of a channel that wants no interrupts.</summary>
    public const uint NoInterruptVp = uint.MaxValue;

    public const uint StatusSuccess = 0;

    /// <summary>What Hyper-V says when it refuses something of a guest's.</summary>
    public const uint StatusUnsuccessful = 0x8000_FFFF;

    /// <summary>STATUS_CONNECTION_REFUSED, the answer to a socket connection nobody listens for.</summary>
    public const uint StatusConnectionRefused = 0xC000_0236;

    /// <summary>HvCallSignalEvent's connection id of a channel: relid, SINT and VTL 0.</summary>
    public static uint EventConnectionId(uint relid) => relid | (uint)Sint << 12;
}

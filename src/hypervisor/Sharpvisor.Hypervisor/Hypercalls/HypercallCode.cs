// Hypercall call codes and status values (TLFS, appendix "Hypercall Code Reference" and datatypes HV_STATUS).
namespace Sharpvisor.Hypervisor;

internal enum HypercallCode : ushort
{
    FlushVirtualAddressSpace = 0x0002,
    FlushVirtualAddressList = 0x0003,
    NotifyLongSpinWait = 0x0008,
    SendSyntheticClusterIpi = 0x000B,
    FlushVirtualAddressSpaceEx = 0x0013,
    FlushVirtualAddressListEx = 0x0014,
    SendSyntheticClusterIpiEx = 0x0015,
    PostMessage = 0x005C,
    SignalEvent = 0x005D,
    RetargetInterrupt = 0x007E,
    ExtQueryCapabilities = 0x8001,
    ExtMemoryHeatHint = 0x8003,
}

/// <summary>HV_STATUS values that this hypervisor returns.</summary>
internal static class HvStatus
{
    public const ushort Success = 0x00;
    public const ushort InvalidHypercallCode = 0x02;
    public const ushort InvalidHypercallInput = 0x03;
    public const ushort InvalidAlignment = 0x04;
    public const ushort InvalidParameter = 0x05;
    public const ushort AccessDenied = 0x06;
    public const ushort InvalidVpIndex = 0x0E;
    public const ushort InvalidPortId = 0x11;
    public const ushort InvalidConnectionId = 0x12;
    public const ushort InsufficientBuffers = 0x13;
}

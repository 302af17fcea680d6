// include/linux/hyperv.h, "Server Flags" (VMBUS_CHANNEL_*).
namespace Sharpvisor.VMBus.Protocol;

/// <summary>Flags of a channel offer.</summary>
[Flags]
public enum OfferFlags : ushort
{
    None = 0,
    EnumerateDeviceInterface = 1,
    NamedPipeMode = 0x10,
    /// <summary>A Hyper-V socket.</summary>
    TlnpiProviderOffer = 0x2000,
}

// The seam between VMBus and a VSP: the device side.
namespace Sharpvisor.VMBus;

/// <summary>A synthetic device (VSP) on the bus.</summary>
public interface IVmbusDevice
{
    /// <summary>The device's description. Read once, when it is offered.</summary>
    VmbusOffer Offer { get; }

    /// <summary>
    /// The guest opens the primary channel or a subchannel. Called on a VP's thread with the bus locked: must not block, and must
    /// not write to the ring yet (the guest has not seen the result; nothing is delivered before this returns).
    /// It is called again after a close: drivers are unloaded and loaded again, kernels are kexec'd.
    /// </summary>
    /// <param name="channel">The channel; <see cref="VmbusChannel.SubchannelIndex"/> 0 is the primary one. One object per open.</param>
    /// <param name="userData">The 120 device-specific bytes of the open message; copy what is to be kept.</param>
    /// <returns>Who gets the channel's packets; null refuses the open.</returns>
    IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData);
}

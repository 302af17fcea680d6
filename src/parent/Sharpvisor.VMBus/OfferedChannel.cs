// One channel on the bus, offered or to be offered, with the state the protocol gives it.
namespace Sharpvisor.VMBus;

internal enum ChannelPhase
{
    /// <summary>The guest has not been offered it, or gave it back (RELID_RELEASED): it has no relid.</summary>
    Released,
    Closed,
    /// <summary>The device is asked.</summary>
    Opening,
    Open,
    /// <summary>Its worker is finishing.</summary>
    Closing,
}

/// <summary>A channel of the state machine.</summary>
internal sealed class OfferedChannel
{
    public OfferedChannel(VmbusOffer offer, object? owner, OfferedChannel? primary, ushort subchannelIndex)
    {
        Offer = offer;
        Owner = owner;
        Primary = primary;
        SubchannelIndex = subchannelIndex;
    }

    public VmbusOffer Offer { get; }

    /// <summary>The device; the state machine only carries it.</summary>
    public object? Owner { get; }

    /// <summary>Null for a primary channel.</summary>
    public OfferedChannel? Primary { get; }

    public ushort SubchannelIndex { get; }

    public uint Relid { get; set; }

    public ChannelPhase Phase { get; set; }

    /// <summary>The host takes it away; the guest has been or will be told (once the channel is closed).</summary>
    public bool Removed { get; set; }

    /// <summary>The guest was told; only RELID_RELEASED is missing.</summary>
    public bool RescindSent { get; set; }

    /// <summary>The guest released the relid while the channel was closing.</summary>
    public bool ReleaseAfterClose { get; set; }

    /// <summary>The open under way, and afterwards the one in force.</summary>
    public OpenRequest Request { get; set; }

    /// <summary>An open that came while the channel was closing: there is no message that says "closed" to wait for.</summary>
    public OpenRequest? Reopen { get; set; }

    /// <summary>The channel while it is open; the composition's, not the state machine's.</summary>
    public VmbusChannel? Live { get; set; }

    /// <summary>Are both the primary channel of one device?</summary>
    public bool IsSameInstance(OfferedChannel other) => Primary is null && other.Primary is null
        && Offer.InterfaceId == other.Offer.InterfaceId && Offer.InstanceId == other.Offer.InstanceId;

    public bool IsBusy => Phase is ChannelPhase.Opening or ChannelPhase.Closing;
}

// What a VSP says about itself when it is offered to the guest (include/linux/hyperv.h, struct vmbus_channel_offer).
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

/// <summary>The description of a synthetic device, constant for its life.</summary>
public sealed record VmbusOffer
{
    /// <summary>Short name for traces and counters (<c>vmbus.NAME.…</c>), for example <c>scsi0</c>; unique in the VM.</summary>
    public required string Name { get; init; }

    /// <summary>The kind of device: what a guest's driver matches (HV_SCSI_GUID and so on).</summary>
    public required Guid InterfaceId { get; init; }

    /// <summary>Which device of that kind; stable over reboots, because guests name devices after it.</summary>
    public required Guid InstanceId { get; init; }

    public OfferFlags Flags { get; init; } = OfferFlags.EnumerateDeviceInterface;

    /// <summary>MMIO space the guest should reserve for the device (synthetic video, vPCI).</summary>
    public ushort MmioMegabytes { get; init; }

    /// <summary>Device-specific bytes of the offer, at most 120, padded with zeros.</summary>
    public ReadOnlyMemory<byte> UserData { get; init; }

    /// <summary>The most subchannels that may be offered beside the primary channel; 0 when the device has none.</summary>
    public ushort MaxSubchannels { get; init; }
}

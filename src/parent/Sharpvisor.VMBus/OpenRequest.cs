// What the guest asked for when it opened a channel (include/linux/hyperv.h, struct vmbus_channel_open_channel).
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

/// <summary>An open request, checked.</summary>
internal readonly record struct OpenRequest(uint OpenId, uint RingGpadl, uint TargetVp, uint DownstreamPageOffset, UserData120 UserData);

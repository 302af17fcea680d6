// What the reader found in the guest-to-host ring.
namespace Sharpvisor.VMBus;

internal enum RingReadStatus
{
    Packet,
    Empty,
    /// <summary>Indices or a descriptor make no sense: nothing after it can be trusted.</summary>
    Broken,
}

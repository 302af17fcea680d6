// The seam between VMBus and the host's side of Hyper-V sockets (CHANNELMSG_TL_CONNECT_REQUEST, include/linux/hyperv.h).
namespace Sharpvisor.VMBus;

/// <summary>Whoever a guest's connects go to.</summary>
public interface IVmbusSockets
{
    /// <summary>
    /// The guest wants a connection. Called on a VP's thread with the bus locked: must not block. Answered, at any time and from
    /// any thread, by an offer with these two as instance and interface, or by <see cref="VmbusServer.RefuseConnect"/>.
    /// </summary>
    /// <param name="endpointId">The guest's end.</param>
    /// <param name="serviceId">What it connects to.</param>
    void Connect(Guid endpointId, Guid serviceId);
}

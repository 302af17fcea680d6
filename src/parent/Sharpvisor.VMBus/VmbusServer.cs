// VMBus in the parent partition: connects the protocol's state machine to SynIC, guest memory and the VSPs.
using Sharpvisor.Core;

namespace Sharpvisor.VMBus;

/// <summary>The bus of one VM. Thread-safe.</summary>
public sealed class VmbusServer : IDisposable
{
    public VmbusServer(GuestMemory memory, ISynicPorts ports, Statistics statistics, ITraceSink? trace = null) => throw new NotImplementedException();

    /// <summary>Puts a device on the bus; a connected guest sees a hot add.</summary>
    /// <returns>False when an offer with the same interface and instance exists or the bus is full.</returns>
    public bool Offer(IVmbusDevice device) => throw new NotImplementedException();

    /// <summary>Removes a device: hot removal. Its channels' <see cref="IChannelHandler.OnClosed"/> follow, on their workers.</summary>
    public void Rescind(IVmbusDevice device) => throw new NotImplementedException();

    /// <summary>Stops delivering packets; returns when no worker runs. The guest may go on filling rings.</summary>
    public void Pause() => throw new NotImplementedException();

    public void Resume() => throw new NotImplementedException();

    /// <summary>The VM was reset: closes every channel (waiting for the VSPs) and forgets the guest's connection. Offers stay. No VP may run meanwhile.</summary>
    public void Reset() => throw new NotImplementedException();

    public void Dispose()
    {
    }
}

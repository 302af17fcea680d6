// The integration services of one VM: what the parent partition can ask of the guest's own components.
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.Vsp.Balloon;
using Sharpvisor.Vsp.Integration;

namespace Sharpvisor.Worker;

/// <summary>Which integration services a VM offers its guest.</summary>
[Flags]
public enum IntegrationServices
{
    None = 0,
    Heartbeat = 1,
    Shutdown = 2,
    TimeSync = 4,
    Kvp = 8,
    Vss = 0x10,
    FileCopy = 0x20,
    Balloon = 0x40,
    All = 0x7F,
}

/// <summary>The integration services. One that is not offered stays NotConnected, and asking it fails with an <see cref="IntegrationException"/>.</summary>
public sealed class VmIntegration : IDisposable
{
    internal VmIntegration(Func<ulong> referenceTime, Statistics statistics)
    {
        TimeSync = new TimeSyncVsp(referenceTime);
        Balloon = new BalloonVsp(statistics);
    }

    public HeartbeatVsp Heartbeat { get; } = new();

    public ShutdownVsp Shutdown { get; } = new();

    public TimeSyncVsp TimeSync { get; }

    public KvpVsp Kvp { get; } = new();

    public VssVsp Vss { get; } = new();

    public FileCopyVsp FileCopy { get; } = new();

    /// <summary>Dynamic memory, which is a device of its own and not one of <see cref="Services"/>.</summary>
    public BalloonVsp Balloon { get; }

    /// <summary>All of them with the flag that leaves each out.</summary>
    internal IEnumerable<(IntegrationServices Flag, IntegrationService Service)> Services =>
    [
        (IntegrationServices.Heartbeat, Heartbeat),
        (IntegrationServices.Shutdown, Shutdown),
        (IntegrationServices.TimeSync, TimeSync),
        (IntegrationServices.Kvp, Kvp),
        (IntegrationServices.Vss, Vss),
        (IntegrationServices.FileCopy, FileCopy),
    ];

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach ((_, IntegrationService service) in Services)
        {
            service.Dispose();
        }

        Balloon.Dispose();
    }

    internal void Offer(VmbusServer bus, IntegrationServices offered)
    {
        foreach ((IntegrationServices flag, IntegrationService service) in Services)
        {
            if (offered.HasFlag(flag))
            {
                bus.Offer(service);
            }
        }

        if (offered.HasFlag(IntegrationServices.Balloon))
        {
            bus.Offer(Balloon);
        }
    }

    internal void Pause()
    {
        Heartbeat.Pause();
        TimeSync.Pause();
    }

    internal void Resume()
    {
        Heartbeat.Resume();
        TimeSync.Resume();
    }
}

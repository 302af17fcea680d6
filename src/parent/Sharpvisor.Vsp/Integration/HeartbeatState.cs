namespace Sharpvisor.Vsp.Integration;

/// <summary>What the heartbeat says about the guest.</summary>
public enum HeartbeatState
{
    /// <summary>No heartbeat was ever heard since the driver connected.</summary>
    NoContact,
    Healthy,
    /// <summary>The guest answers, and says that it is in trouble.</summary>
    Critical,
    /// <summary>The driver is there, but has stopped answering.</summary>
    Lost,
}

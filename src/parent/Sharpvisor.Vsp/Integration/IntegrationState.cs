namespace Sharpvisor.Vsp.Integration;

/// <summary>How far a service has come with the guest.</summary>
public enum IntegrationState
{
    /// <summary>The guest has not opened the channel: no driver (hv_utils) is loaded.</summary>
    NotConnected,
    /// <summary>
    /// The driver has not yet answered the negotiation; hv_kvp, hv_vss and hv_fcopy leave it unanswered until their daemon runs.
    /// </summary>
    Negotiating,
    Running,
    /// <summary>The guest knows none of the versions offered, or answered nonsense.</summary>
    Refused,
}

namespace Sharpvisor.Vsp.Integration;

/// <summary>The guest could not be asked, or refused; the message is one line that says what and why.</summary>
public sealed class IntegrationException(string message, uint status = IcStatus.Fail) : Exception(message)
{
    /// <summary>The guest's answer, an <see cref="IcStatus"/>; <see cref="IcStatus.Fail"/> when there was none.</summary>
    public uint Status { get; } = status;
}

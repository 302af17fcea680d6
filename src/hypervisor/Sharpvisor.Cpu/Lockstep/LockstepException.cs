namespace Sharpvisor.Cpu.Lockstep;

/// <summary>The engines differ; the message has both states, several lines.</summary>
public sealed class LockstepException(string message) : Exception(message)
{
    /// <summary>Where in our own code it was noticed says nothing.</summary>
    public override string ToString() => Message;
}

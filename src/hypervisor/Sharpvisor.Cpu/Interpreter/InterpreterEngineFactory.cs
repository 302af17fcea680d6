// The software CPU's entry point for the composition root.
namespace Sharpvisor.Cpu.Interpreter;

/// <summary>Creates interpreter engines.</summary>
public sealed class InterpreterEngineFactory : IVpEngineFactory
{
    /// <inheritdoc/>
    public IVpEngine Create(int vpIndex, GuestMemory memory, IVpIntercepts intercepts) => new Vp(vpIndex, memory, intercepts);
}

// Lockstep for the composition root: the translator leads, the interpreter follows.
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Translator;

namespace Sharpvisor.Cpu.Lockstep;

/// <summary>Creates the engine of a partition's only VP. x86-64 hosts only (<see cref="TranslatorEngineFactory.IsSupported"/>).</summary>
/// <param name="threshold">How often a block is entered before it is translated.</param>
public sealed class LockstepEngineFactory(int threshold = LockstepEngineFactory.DefaultThreshold) : IVpEngineFactory
{
    /// <summary>Low: a short boot should run translated code.</summary>
    public const int DefaultThreshold = 2;

    /// <inheritdoc/>
    public IVpEngine Create(int vpIndex, GuestMemory memory, IVpIntercepts intercepts)
    {
        if (vpIndex != 0)
        {
            throw new NotSupportedException("lockstep follows one VP");
        }

        return new LockstepEngine(
            memory,
            intercepts,
            (m, i) => new Vp(vpIndex, m, i, new BlockTranslator((uint)threshold)),
            (m, i) => new Vp(vpIndex, m, i));
    }
}

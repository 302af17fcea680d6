// Power-on, INIT and the CPU model: the engine's side of System/PowerOn.
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

internal sealed unsafe partial class Vp
{
    /// <inheritdoc/>
    public CpuidResult Cpuid(uint leaf, uint subleaf) => CpuModel.Cpuid(State, leaf, subleaf);

    /// <inheritdoc/>
    public void Reset(bool powerOn)
    {
        PowerOn.Reset(State, powerOn);
        PowerOn.Synchronise(this);
        InterruptDeferred = false;
    }
}

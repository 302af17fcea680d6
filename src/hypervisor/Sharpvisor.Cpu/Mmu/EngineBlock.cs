// The engine's private part of a VP's state, in native memory at fixed offsets so that handlers and, later, translated code
// reach it from VpState.EnginePrivate without a managed object.
using System.Runtime.InteropServices;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.Mmu;

/// <summary>See the file's head. The lazy flags come first: their offsets are the engine's shortest.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct EngineBlock
{
    public LazyFlags Lazy;
    /// <summary>Slots of the set that data accesses and fetches at the current privilege use.</summary>
    public TlbEntry* Tlb;
    /// <summary>Slots of the set for the processor's own accesses to descriptor tables, TSS and IDT.</summary>
    public TlbEntry* SystemTlb;
    /// <summary>Non-zero when DR7 arms a data or I/O breakpoint, or alignment checks are on: every access takes the slow path.</summary>
    public uint CheckedAccesses;
    /// <summary>Breakpoints hit by the current instruction: a #DB trap with these DR6 bits is due after it.</summary>
    public uint BreakpointHits;
    /// <summary>Causes to set in DR6 when the recorded #DB is delivered.</summary>
    public uint Dr6;
    /// <summary>The vector being delivered while an exception or interrupt is under way; -1 otherwise.</summary>
    public int Delivering;
    /// <summary>Set while a delivery (not an instruction) makes accesses: EXT in error codes.</summary>
    public uint ExternalEvent;

    public static EngineBlock* Of(VpState* s) => (EngineBlock*)s->EnginePrivate;
}

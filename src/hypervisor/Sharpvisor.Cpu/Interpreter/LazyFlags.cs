// The interpreter's per-VP scratch: arithmetic flags in lazy form and what hot handlers need without touching a managed
// object. It is the first member of EngineBlock, so (LazyFlags*)s->EnginePrivate is always valid.
using System.Runtime.InteropServices;

namespace Sharpvisor.Cpu.Interpreter;

/// <summary>
/// The arithmetic flags of the last flag-setting instruction, uniform for all operand sizes, so that readers need no switch:
/// ZF: Result == 0. SF: bit 63 of Result ^ Delta. PF: parity of the low byte of Result ^ Delta.
/// CF: bit 63 of Carries. OF: bit 63 ^ bit 62 of Carries. AF: bit 3 of Carries.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LazyFlags
{
    /// <summary>The result, sign-extended to 64 bits.</summary>
    public ulong Result;
    /// <summary>The carry out of each bit; the operand's two top bits are moved up to 63 and 62, bit 3 stays.</summary>
    public ulong Carries;
    /// <summary>0 after arithmetic; corrects SF and PF when the flags were loaded explicitly (POPF, SAHF).</summary>
    public ulong Delta;
    /// <summary>Guest instructions retired.</summary>
    public ulong Instructions;
    /// <summary>A GCHandle to the <see cref="Vp"/>.</summary>
    public nint Owner;
    /// <summary>The jump cache's entries: see <see cref="JumpEntry"/>.</summary>
    public JumpEntry* JumpCache;
    /// <summary>The running mode (<see cref="Decode.BlockMode"/>), part of a jump cache entry's tag.</summary>
    public ulong Mode;
    /// <summary>Increased to drop all of the jump cache.</summary>
    public ulong JumpEpoch;
    /// <summary>The block being executed.</summary>
    public Decode.Block* CurrentBlock;
}

/// <summary>A direct-mapped entry from linear RIP to block.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct JumpEntry
{
    public ulong Rip;
    public ulong Tag;
    public Decode.Block* Block;
    public ulong PageBase;
}

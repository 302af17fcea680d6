// One virtual processor on the interpreter: the Run loop, pending events, and what slow paths of all areas need.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

/// <summary>The interpreter engine of one VP.</summary>
internal sealed unsafe partial class Vp : IVpEngine
{
    public VpState* State { get; }

    public GuestMemory Memory { get; }

    public IVpIntercepts Intercepts { get; }

    /// <summary>The exception that the instruction being executed raised.</summary>
    public PendingFault PendingFault;

    /// <summary>HLT was executed (its handler also ends the block).</summary>
    public bool Halted;

    /// <summary>A triple fault: Run returns <see cref="VpExit.Shutdown"/>.</summary>
    public bool TripleFault;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vp Of(VpState* s) => Unsafe.As<Vp>(GCHandle.FromIntPtr(Flags.Lazy(s)->Owner).Target!);

    /// <summary>RIP of an op of the running block.</summary>
    public void SyncRip(Op* op) => State->Rip = State->Gpr[17] + op->PageOffset;

    /// <summary>Continue at this RIP; the handler then returns null with no fault pending.</summary>
    public void EndBlockAt(ulong rip) => State->Rip = rip;

    /// <summary>CS, CR0, EFER or CPL changed: recomputes the CPU mode and drops the jump cache.</summary>
    public partial void ModeChanged();

    /// <summary>Linear-to-block mappings are stale (the MMU calls it with every TLB flush and INVLPG).</summary>
    public partial void DropJumpCache();

    /// <summary>The MMU's slow store path calls it after writing to a page with tracked code, so that code of the running block is not executed stale.</summary>
    public partial void CodeWritten(ulong gpa, int bytes);
}

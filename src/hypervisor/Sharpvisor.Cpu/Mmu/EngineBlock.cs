// The engine's private part of a VP's state, in native memory at fixed offsets so that handlers and, later, translated code
// reach it from VpState.EnginePrivate without a managed object.
using System.Runtime.InteropServices;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.Mmu;

/// <summary>The exception that the instruction being executed raised, before it is delivered.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PendingFault
{
    /// <summary>Non-zero when there is one.</summary>
    public byte Pending;
    public byte Vector;
    public byte HasErrorCode;
    /// <summary>Non-zero: a #GP for a non-canonical address, which is #SS when the access was to the stack.</summary>
    public byte NonCanonical;
    public uint ErrorCode;
    /// <summary>The faulting linear address of a page fault; delivery puts it in CR2.</summary>
    public ulong Cr2;
    /// <summary>Causes of a #DB; delivery puts them in DR6.</summary>
    public ulong Dr6;
}

/// <summary>
/// An entry from linear RIP to host code, in a table of two ways: neighbours are one set. It stays when translations are flushed: who uses it compares
/// <see cref="Key"/> with the TLB's.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NativeJump
{
    public const int Entries = 16384;

    public ulong Rip;
    /// <summary>Of the page it was found on: see <see cref="CodeEntry.KeyOf"/>; all ones when the entry is empty.</summary>
    public ulong Key;
    public ulong PageBase;
    public byte* Native;
}

/// <summary>See the file's head. The lazy flags come first: their offsets are the engine's shortest.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct EngineBlock
{
    public LazyFlags Lazy;
    /// <summary>Slots of the set that data accesses and fetches at the current privilege use.</summary>
    public TlbEntry* Tlb;
    /// <summary>Slots of the set for the processor's own accesses to descriptor tables, TSS and IDT.</summary>
    public TlbEntry* SystemTlb;
    public PendingFault Fault;
    /// <summary>Changes whenever cached translations were dropped; caches from linear addresses to code compare it.</summary>
    public ulong TlbGeneration;
    /// <summary>Non-zero when DR7 arms a data or I/O breakpoint, or alignment checks are on: every access takes the slow path.</summary>
    public uint CheckedAccesses;
    /// <summary>Non-zero when DR7 enables anything (bits below): instructions run one at a time.</summary>
    public uint Stepping;
    /// <summary>Breakpoints hit by the current instruction: a #DB trap with these DR6 bits is due after it.</summary>
    public uint BreakpointHits;
    /// <summary>The sets with user pages open and closed to the kernel, and whether STAC and CLAC may just select between them.</summary>
    public TlbEntry* OpenTlb;
    public TlbEntry* ClosedTlb;
    public uint AcSelectsTlb;
    /// <summary>Translated code changed RFLAGS.AC: <see cref="SoftMmu.UpdateContext"/> is due.</summary>
    public uint ContextStale;
    /// <summary>An interrupt is pending and IF is clear: kept out of PendingEvents, so that blocks may chain meanwhile.</summary>
    public uint InterruptDeferred;
    /// <summary>RIP after the far transfer being executed; a task switch saves it.</summary>
    public ulong NextRip;
    /// <summary>Written when translated code is left: arithmetic flags (see Translator/Host), the branch to be linked, instructions.</summary>
    public ulong ExitFlags;
    public ulong ExitLink;
    public ulong ExitInstructions;
    /// <summary>Where translated code looks up the targets of indirect jumps.</summary>
    public NativeJump* NativeJumps;
    /// <summary>An XSAVE area: the way of x87 state into the host's x87 and back.</summary>
    public byte* XsaveArea;

    /// <summary><see cref="Stepping"/>: a data or I/O breakpoint traps after the instruction.</summary>
    public const uint StepsForTraps = 1;
    /// <summary><see cref="Stepping"/>: an execution breakpoint faults before the instruction.</summary>
    public const uint StepsForExecution = 2;

    public static EngineBlock* Of(VpState* s) => (EngineBlock*)s->EnginePrivate;
}

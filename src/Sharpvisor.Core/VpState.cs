// The architectural state of one virtual processor: one blittable layout whatever the engine, so that a VP can be saved,
// moved between engines and compared. Lives in native memory; translated code addresses it by fixed offsets.
using System.Runtime.InteropServices;

namespace Sharpvisor.Core;

/// <summary>A segment register with its descriptor cache. Attributes are bits 8..23 of the descriptor's high dword, as in VMCB/KVM: type 0-3, S 4, DPL 5-6, P 7, AVL 8, L 9, D/B 10, G 11.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct SegmentRegister
{
    public ulong Base;
    /// <summary>In bytes, granularity applied: the last valid offset.</summary>
    public uint Limit;
    public ushort Selector;
    public ushort Attributes;
}

/// <summary>GDTR or IDTR.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct DescriptorTableRegister
{
    public ulong Base;
    public uint Limit;
    public uint Reserved;
}

/// <summary>Indices into the segment registers, in x86 encoding order.</summary>
public enum Segment
{
    Es,
    Cs,
    Ss,
    Ds,
    Fs,
    Gs,
    Ldtr,
    Tr,
}

/// <summary>One VP's registers. All zero is not a valid state: see <see cref="IVpEngine.Reset"/>.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct VpState
{
    /// <summary>RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8..R15; [16] is always 0 and [17] is engine scratch (virtual base of the running code page).</summary>
    public fixed ulong Gpr[18];
    public ulong Rip;
    /// <summary>RFLAGS. While an engine runs, the arithmetic flags (OF SF ZF AF PF CF) may live elsewhere; outside Run they are here.</summary>
    public ulong RFlags;

    /// <summary><see cref="VpEvents"/>; change with Interlocked.</summary>
    public uint PendingEvents;
    /// <summary>Current privilege level.</summary>
    public uint Cpl;
    /// <summary>Non-zero for one instruction after STI or MOV/POP SS.</summary>
    public uint InterruptShadow;
    /// <summary>Non-zero from NMI delivery to IRET.</summary>
    public uint NmiBlocked;

    /// <summary>Indexed by <see cref="Segment"/>: see <see cref="Seg"/>.</summary>
    private SegmentRegister _es;
    private SegmentRegister _cs;
    private SegmentRegister _ss;
    private SegmentRegister _ds;
    private SegmentRegister _fs;
    private SegmentRegister _gs;
    private SegmentRegister _ldtr;
    private SegmentRegister _tr;
    public DescriptorTableRegister Gdtr;
    public DescriptorTableRegister Idtr;

    public ulong Cr0;
    public ulong Cr2;
    public ulong Cr3;
    public ulong Cr4;
    public ulong Xcr0;
    /// <summary>DR0..DR3, unused, unused, DR6, DR7.</summary>
    public fixed ulong Dr[8];

    public ulong Efer;
    public ulong Star;
    public ulong Lstar;
    public ulong Cstar;
    public ulong Sfmask;
    public ulong KernelGsBase;
    public ulong SysenterCs;
    public ulong SysenterEsp;
    public ulong SysenterEip;
    public ulong Pat;
    public ulong TscAux;
    /// <summary>Added to partition time to give the guest's TSC.</summary>
    public ulong TscOffset;
    public ulong TscAdjust;
    public ulong MiscEnable;
    public ulong DebugCtl;
    public ulong Xss;
    public ulong MtrrDefType;
    public fixed ulong MtrrFixed[11];
    public fixed ulong MtrrVariable[16];

    /// <summary>Eight x87 registers in physical order (not relative to TOP), 16 bytes each: 64-bit significand, 16-bit sign and exponent. MMX registers alias the significands.</summary>
    public fixed byte X87[128];
    public ushort Fcw;
    public ushort Fsw;
    /// <summary>Abridged tag word as in FXSAVE: bit i set when physical register i is not empty.</summary>
    public ushort Ftw;
    public ushort Fop;
    public ulong Fip;
    public ulong Fdp;
    public uint Mxcsr;
    public uint Reserved;
    /// <summary>Sixteen vector registers, 32 bytes each (XMM is the low half).</summary>
    public fixed byte Vector[512];

    /// <summary>Pointer to an engine's private block for this VP; not part of the architectural state.</summary>
    public void* EnginePrivate;
    public uint VpIndex;

    /// <summary>A segment register by index.</summary>
    public static SegmentRegister* Seg(VpState* state, Segment index) => &state->_es + (int)index;
}

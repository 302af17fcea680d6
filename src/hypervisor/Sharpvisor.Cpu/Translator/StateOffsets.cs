// Where translated code finds VP state: taken from the structures themselves, so that nobody has to keep numbers in step.
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.Translator;

internal sealed unsafe class StateOffsets
{
    private StateOffsets()
    {
        VpState state = default;
        byte* s = (byte*)&state;
        Gpr = (int)((byte*)state.Gpr - s);
        PendingEvents = (int)((byte*)&state.PendingEvents - s);
        EnginePrivate = (int)((byte*)&state.EnginePrivate - s);
        Cr0 = (int)((byte*)&state.Cr0 - s);
        Cr4 = (int)((byte*)&state.Cr4 - s);
        Mxcsr = (int)((byte*)&state.Mxcsr - s);
        Vector = (int)(state.Vector - s);
        X87 = (int)(state.X87 - s);
        Fcw = (int)((byte*)&state.Fcw - s);
        Ftw = (int)((byte*)&state.Ftw - s);
        Fip = (int)((byte*)&state.Fip - s);
        FsBase = (int)((byte*)&VpState.Seg(&state, Segment.Fs)->Base - s);
        GsBase = (int)((byte*)&VpState.Seg(&state, Segment.Gs)->Base - s);
        EngineBlock engine = default;
        byte* e = (byte*)&engine;
        Tlb = (int)((byte*)&engine.Tlb - e);
        RFlags = (int)((byte*)&state.RFlags - s);
        Cpl = (int)((byte*)&state.Cpl - s);
        KernelGsBase = (int)((byte*)&state.KernelGsBase - s);
        Selector = (int)((byte*)&VpState.Seg(&state, Segment.Es)->Selector - s);
        OpenTlb = (int)((byte*)&engine.OpenTlb - e);
        ClosedTlb = (int)((byte*)&engine.ClosedTlb - e);
        AcSelectsTlb = (int)((byte*)&engine.AcSelectsTlb - e);
        ContextStale = (int)((byte*)&engine.ContextStale - e);
        InterruptDeferred = (int)((byte*)&engine.InterruptDeferred - e);
        XsaveArea = (int)((byte*)&engine.XsaveArea - e);
        NativeJumps = (int)((byte*)&engine.NativeJumps - e);
        ExitFlags = (int)((byte*)&engine.ExitFlags - e);
        ExitLink = (int)((byte*)&engine.ExitLink - e);
        ExitInstructions = (int)((byte*)&engine.ExitInstructions - e);
        TlbEntry entry = default;
        byte* t = (byte*)&entry;
        ReadTag = (int)((byte*)&entry.ReadTag - t);
        WriteTag = (int)((byte*)&entry.WriteTag - t);
        CodeEntry code = default;
        CodeKey = TlbSet.CodeOffset + (int)((byte*)&code.Key - (byte*)&code);
        HostPage = (int)((byte*)&entry.HostPage - t);
        NativeJump jump = default;
        byte* j = (byte*)&jump;
        JumpRip = (int)((byte*)&jump.Rip - j);
        JumpKey = (int)((byte*)&jump.Key - j);
        JumpPageBase = (int)((byte*)&jump.PageBase - j);
        JumpNative = (int)((byte*)&jump.Native - j);
    }

    public static StateOffsets Instance { get; } = new();

    public int Gpr { get; }

    public int PendingEvents { get; }

    public int EnginePrivate { get; }

    public int Cr0 { get; }

    public int Cr4 { get; }

    public int Mxcsr { get; }

    public int Vector { get; }

    public int X87 { get; }

    /// <summary>FSW is behind it.</summary>
    public int Fcw { get; }

    public int Ftw { get; }

    public int Fip { get; }

    public int FsBase { get; }

    public int GsBase { get; }

    public int Tlb { get; }

    public int RFlags { get; }

    public int Cpl { get; }

    public int KernelGsBase { get; }

    /// <summary>Of ES; the others follow in encoding order, <see cref="SegmentRegister"/> apart.</summary>
    public int Selector { get; }

    public int OpenTlb { get; }

    public int ClosedTlb { get; }

    public int AcSelectsTlb { get; }

    public int ContextStale { get; }

    public int InterruptDeferred { get; }

    public int XsaveArea { get; }

    public int NativeJumps { get; }

    public int ExitFlags { get; }

    public int ExitLink { get; }

    public int ExitInstructions { get; }

    public int ReadTag { get; }

    public int WriteTag { get; }

    /// <summary>Relative to the TLB slot of the address.</summary>
    public int CodeKey { get; }

    public int HostPage { get; }

    public int JumpRip { get; }

    public int JumpKey { get; }

    public int JumpPageBase { get; }

    public int JumpNative { get; }
}

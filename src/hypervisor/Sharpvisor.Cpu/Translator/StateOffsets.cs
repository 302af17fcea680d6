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
        FsBase = (int)((byte*)&VpState.Seg(&state, Segment.Fs)->Base - s);
        GsBase = (int)((byte*)&VpState.Seg(&state, Segment.Gs)->Base - s);
        EngineBlock engine = default;
        byte* e = (byte*)&engine;
        Tlb = (int)((byte*)&engine.Tlb - e);
        NativeJumps = (int)((byte*)&engine.NativeJumps - e);
        ExitFlags = (int)((byte*)&engine.ExitFlags - e);
        ExitLink = (int)((byte*)&engine.ExitLink - e);
        ExitInstructions = (int)((byte*)&engine.ExitInstructions - e);
        TlbEntry entry = default;
        byte* t = (byte*)&entry;
        ReadTag = (int)((byte*)&entry.ReadTag - t);
        WriteTag = (int)((byte*)&entry.WriteTag - t);
        ExecKey = (int)((byte*)&entry.ExecKey - t);
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

    public int FsBase { get; }

    public int GsBase { get; }

    public int Tlb { get; }

    public int NativeJumps { get; }

    public int ExitFlags { get; }

    public int ExitLink { get; }

    public int ExitInstructions { get; }

    public int ReadTag { get; }

    public int WriteTag { get; }

    public int ExecKey { get; }

    public int HostPage { get; }

    public int JumpRip { get; }

    public int JumpKey { get; }

    public int JumpPageBase { get; }

    public int JumpNative { get; }
}

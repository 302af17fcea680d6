// Where translated code finds VP state: taken from the structures themselves, so that nobody has to keep numbers in step.
using Sharpvisor.Cpu.Interpreter;
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
        JumpCache = (int)((byte*)&engine.Lazy.JumpCache - e);
        ExitFlags = (int)((byte*)&engine.ExitFlags - e);
        ExitLink = (int)((byte*)&engine.ExitLink - e);
        ExitInstructions = (int)((byte*)&engine.ExitInstructions - e);
        TlbEntry entry = default;
        byte* t = (byte*)&entry;
        ReadTag = (int)((byte*)&entry.ReadTag - t);
        WriteTag = (int)((byte*)&entry.WriteTag - t);
        Addend = (int)((byte*)&entry.Addend - t);
        JumpEntry jump = default;
        byte* j = (byte*)&jump;
        JumpRip = (int)((byte*)&jump.Rip - j);
        JumpTag = (int)((byte*)&jump.Tag - j);
        JumpBlock = (int)((byte*)&jump.Block - j);
        Decode.Block block = default;
        byte* b = (byte*)&block;
        GenerationAddress = (int)((byte*)&block.GenerationAddress - b);
        Generation = (int)((byte*)&block.Generation - b);
        NativeHead = (int)((byte*)&block.NativeHead - b);
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

    public int JumpCache { get; }

    public int ExitFlags { get; }

    public int ExitLink { get; }

    public int ExitInstructions { get; }

    public int ReadTag { get; }

    public int WriteTag { get; }

    public int Addend { get; }

    public int JumpRip { get; }

    public int JumpTag { get; }

    public int JumpBlock { get; }

    public int GenerationAddress { get; }

    public int Generation { get; }

    public int NativeHead { get; }
}

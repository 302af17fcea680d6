// Where guest state lives while translated code runs: docs/cpu.md, "Register mapping".
namespace Sharpvisor.Cpu.Translator;

/// <summary>Host registers and the slots of the trampoline's stack frame, as displacements from RSP.</summary>
internal static class Host
{
    /// <summary>AH: SF ZF AF PF CF as LAHF stores them; AL: OF. Guest RAX is in <see cref="GuestRax"/>.</summary>
    public const int Rax = 0;
    public const int Rcx = 1;
    public const int Rdx = 2;
    public const int Rsp = 4;
    public const int Rbp = 5;
    public const int Rsi = 6;
    public const int Rdi = 7;
    public const int GuestRax = 12;
    public const int GuestRsp = 13;
    /// <summary>An address: linear, then host.</summary>
    public const int Address = 14;
    /// <summary>A value.</summary>
    public const int Value = 15;

    public const int State = 0;
    public const int Tlb = 8;
    public const int Spilled = 16;
    public const int PageBase = 48;
    public const int FsBase = 56;
    public const int GsBase = 64;
    public const int JumpCache = 72;
    public const int Instructions = 88;
    public const int Scratch = 96;
    public const int Scratch2 = 104;
    /// <summary>Whether the guest's vector registers and MXCSR are in the host's, and the host's MXCSR meanwhile.</summary>
    public const int VectorLoaded = 112;
    public const int HostMxcsr = 116;
    /// <summary>Whether the guest's x87 state is in the host's x87.</summary>
    public const int X87Loaded = 120;
    public const int Scratch3 = 128;
    public const int Scratch4 = 136;
    public const int FrameBytes = 152;

    /// <summary>The host register of a guest register, or -1: in its slot.</summary>
    public static int Of(int guest) => guest switch
    {
        0 => GuestRax,
        4 => GuestRsp,
        < 12 => guest,
        _ => -1,
    };

    /// <summary>The slot of guest R12..R15.</summary>
    public static int Slot(int guest) => Spilled + ((guest - 12) * 8);
}

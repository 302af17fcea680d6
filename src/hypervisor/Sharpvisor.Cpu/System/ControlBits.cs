// Bits of control registers, EFER, RFLAGS and descriptors that the engine acts on; Intel SDM Vol. 3A, 2.3, 2.5, 3.4.5.
namespace Sharpvisor.Cpu.System;

internal static class Cr0
{
    public const ulong PE = 1;
    public const ulong MP = 2;
    public const ulong EM = 4;
    public const ulong TS = 8;
    public const ulong ET = 0x10;
    public const ulong NE = 0x20;
    public const ulong WP = 0x10000;
    public const ulong AM = 0x40000;
    public const ulong NW = 0x2000_0000;
    public const ulong CD = 0x4000_0000;
    public const ulong PG = 0x8000_0000;
}

internal static class Cr4
{
    public const ulong VME = 1;
    public const ulong PVI = 2;
    public const ulong TSD = 4;
    public const ulong DE = 8;
    public const ulong PSE = 0x10;
    public const ulong PAE = 0x20;
    public const ulong MCE = 0x40;
    public const ulong PGE = 0x80;
    public const ulong PCE = 0x100;
    public const ulong OSFXSR = 0x200;
    public const ulong OSXMMEXCPT = 0x400;
    public const ulong UMIP = 0x800;
    public const ulong FSGSBASE = 0x10000;
    public const ulong PCIDE = 0x20000;
    public const ulong OSXSAVE = 0x40000;
    public const ulong SMEP = 0x100000;
    public const ulong SMAP = 0x200000;
}

internal static class Efer
{
    public const ulong SCE = 1;
    public const ulong LME = 0x100;
    public const ulong LMA = 0x400;
    public const ulong NXE = 0x800;
}

internal static class RFlag
{
    public const ulong CF = 1;
    public const ulong PF = 4;
    public const ulong AF = 0x10;
    public const ulong ZF = 0x40;
    public const ulong SF = 0x80;
    public const ulong TF = 0x100;
    public const ulong IF = 0x200;
    public const ulong DF = 0x400;
    public const ulong OF = 0x800;
    public const ulong IOPL = 0x3000;
    public const ulong NT = 0x4000;
    public const ulong RF = 0x10000;
    public const ulong VM = 0x20000;
    public const ulong AC = 0x40000;
    public const ulong VIF = 0x80000;
    public const ulong VIP = 0x100000;
    public const ulong ID = 0x200000;

    /// <summary>Everything POPF and IRET can give a value to.</summary>
    public const ulong Defined = 0x3F_7FD5;
    public const ulong Arithmetic = CF | PF | AF | ZF | SF | OF;
}

/// <summary>Fields of <see cref="SegmentRegister.Attributes"/>.</summary>
internal static class SegAttr
{
    public const int TypeMask = 0xF;
    public const int Accessed = 1;
    public const int Writable = 2;
    public const int Readable = 2;
    public const int Conforming = 4;
    public const int ExpandDown = 4;
    public const int Code = 8;
    public const int S = 0x10;
    public const int DplShift = 5;
    public const int Present = 0x80;
    public const int Long = 0x200;
    public const int Big = 0x400;
    public const int Granular = 0x800;
}

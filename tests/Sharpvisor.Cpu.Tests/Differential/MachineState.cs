// The user-visible registers before and after a sequence, in the form both sides share. The native trampoline addresses
// it by offset: see HostRunner.
using System.Runtime.InteropServices;

namespace Sharpvisor.Cpu.Tests.Differential;

[StructLayout(LayoutKind.Explicit, Size = Bytes)]
internal unsafe struct MachineState
{
    public const int Bytes = 704;
    public const int GprOffset = 512;
    public const int RFlagsOffset = 640;
    public const int RipOffset = 648;
    public const int VectorOffset = 656;
    public const int ErrorCodeOffset = 664;
    public const int Cr2Offset = 672;

    /// <summary><see cref="Vector"/> of a sequence that ran to its end.</summary>
    public const ulong Completed = 256;

    public const int FxFcw = 0;
    public const int FxFsw = 2;
    public const int FxFtw = 4;
    public const int FxMxcsr = 24;
    public const int FxSt = 32;
    public const int FxXmm = 160;

    /// <summary>FXSAVE64's image (Intel SDM Vol. 1, 10.5.1).</summary>
    [FieldOffset(0)]
    public fixed byte Fx[512];

    [FieldOffset(GprOffset)]
    public fixed ulong Gpr[16];

    [FieldOffset(RFlagsOffset)]
    public ulong RFlags;

    /// <summary>Address of the faulting instruction; not defined for a completed sequence.</summary>
    [FieldOffset(RipOffset)]
    public ulong Rip;

    [FieldOffset(VectorOffset)]
    public ulong Vector;

    [FieldOffset(ErrorCodeOffset)]
    public ulong ErrorCode;

    [FieldOffset(Cr2Offset)]
    public ulong Cr2;
}

// What an operation needs to know of the control word and what it tells the status word. MXCSR's and the x87's flags have
// the same bits in the same order: Intel SDM Vol. 1, 8.1.3 and 10.2.3.
namespace Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;

internal enum Rounding
{
    Nearest,
    Down,
    Up,
    Zero,
}

[Flags]
internal enum FpFlags
{
    None = 0,
    Invalid = 1,
    Denormal = 2,
    DivideByZero = 4,
    Overflow = 8,
    Underflow = 16,
    Inexact = 32,
    /// <summary>Found before the result exists: these, unmasked, suppress the others.</summary>
    PreComputation = Invalid | Denormal | DivideByZero,
}

internal struct FpStatus
{
    public FpFlags Flags;
    /// <summary>Exceptions that are masked.</summary>
    public FpFlags Masks;
    public Rounding Rounding;
    public bool FlushToZero;
    public bool DenormalsAreZero;
    /// <summary>x87: C1, the last rounding increased the magnitude.</summary>
    public bool RoundedUp;
    /// <summary>x87 registers: an unmasked overflow or underflow delivers a result whose exponent is wrapped by 0x6000.</summary>
    public bool WrapExponent;

    public readonly bool HasUnmasked => (Flags & ~Masks) != 0;
}

// An unpacked number: whatever the format, a sign, an exponent and a 64-bit significand with its top bit set.
namespace Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;

internal enum NumKind : byte
{
    Zero,
    Finite,
    Infinity,
    QuietNaN,
    SignalingNaN,
    /// <summary>x87: pseudo-NaN, pseudo-infinity, unnormal. Any use is invalid.</summary>
    Unsupported,
}

/// <summary>Value: (-1)^Sign * Significand / 2^63 * 2^Exponent. A NaN's Significand is its fraction, left-aligned at bit 63.</summary>
internal struct Num
{
    public ulong Significand;
    public int Exponent;
    public NumKind Kind;
    public bool Sign;
    /// <summary>It was stored with the smallest exponent and without its integer bit.</summary>
    public bool IsDenormal;

    public readonly bool IsNaN => Kind is NumKind.QuietNaN or NumKind.SignalingNaN;

    public static Num Zero(bool sign) => new() { Kind = NumKind.Zero, Sign = sign };

    public static Num Infinity(bool sign) => new() { Kind = NumKind.Infinity, Sign = sign, Significand = 1UL << 63 };

    /// <summary>The x86 default NaN: negative, quiet, no payload.</summary>
    public static Num DefaultNaN => new() { Kind = NumKind.QuietNaN, Sign = true, Significand = 3UL << 62 };

    public static Num Finite(bool sign, int exponent, ulong significand)
        => new() { Kind = NumKind.Finite, Sign = sign, Exponent = exponent, Significand = significand };
}

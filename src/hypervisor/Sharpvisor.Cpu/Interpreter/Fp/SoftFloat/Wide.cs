// A 128-bit-significand number for transcendental functions: truncating arithmetic with an error of a few units in the
// 126th bit, so that the final rounding to 64 bits is almost always the correct one.
namespace Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;

/// <summary>Value: (-1)^Sign * Significand / 2^127 * 2^Exponent; the significand is normalised, or 0.</summary>
internal readonly struct Wide
{
    public readonly UInt128 Significand;
    public readonly int Exponent;
    public readonly bool Sign;

    public Wide(bool sign, int exponent, UInt128 significand)
    {
        if (significand == 0)
        {
            return;
        }

        int lead = (int)UInt128.LeadingZeroCount(significand);
        Significand = significand << lead;
        Exponent = exponent - lead;
        Sign = sign;
    }

    public bool IsZero => Significand == 0;

    public ulong High => (ulong)(Significand >> 64);

    public static Wide From(in Num n) => new(n.Sign, n.Exponent, new UInt128(n.Significand, 0));

    public static Wide From(long value)
    {
        Num n = Arithmetic.FromInt64(value);
        return n.Kind == NumKind.Zero ? default : From(n);
    }

    public Wide Negate() => new(!Sign, Exponent, Significand);

    public Wide Abs() => new(false, Exponent, Significand);

    public Wide Scale(int by) => IsZero ? this : new(Sign, Exponent + by, Significand);

    public static Wide operator *(Wide a, Wide b)
    {
        if (a.IsZero || b.IsZero)
        {
            return default;
        }

        ulong ah = a.High;
        ulong al = (ulong)a.Significand;
        ulong bh = b.High;
        ulong bl = (ulong)b.Significand;
        ulong hh = Math.BigMul(ah, bh, out ulong hhLow);
        ulong hl = Math.BigMul(ah, bl, out ulong hlLow);
        ulong lh = Math.BigMul(al, bh, out ulong lhLow);
        ulong ll = Math.BigMul(al, bl, out _);
        UInt128 middle = (UInt128)hlLow + lhLow + ll;
        UInt128 product = new UInt128(hh, hhLow) + hl + lh + (ulong)(middle >> 64);
        return new Wide(a.Sign != b.Sign, a.Exponent + b.Exponent + 1, product);
    }

    public static Wide operator +(Wide a, Wide b)
    {
        if (a.IsZero)
        {
            return b;
        }

        if (b.IsZero)
        {
            return a;
        }

        bool swap = b.Exponent > a.Exponent || (b.Exponent == a.Exponent && b.Significand > a.Significand);
        Wide x = swap ? b : a;
        Wide y = swap ? a : b;
        int shift = x.Exponent - y.Exponent;
        UInt128 big = x.Significand >> 1;
        UInt128 small = shift > 126 ? UInt128.Zero : y.Significand >> (shift + 1);
        return new Wide(x.Sign, x.Exponent + 1, x.Sign == y.Sign ? big + small : big - small);
    }

    public static Wide operator -(Wide a, Wide b) => a + b.Negate();

    public static Wide operator /(Wide a, Wide b)
    {
        // Newton: 52 good bits, then 104, then all.
        double seed = 1.0 / (b.High * (1.0 / 9223372036854775808.0));
        Wide x = FromUnit(seed);
        Wide m = new(false, 0, b.Significand);
        Wide two = From(2);
        x *= two - (m * x);
        x *= two - (m * x);
        Wide q = a * x;
        return new Wide(a.Sign != b.Sign, q.Exponent - b.Exponent, q.Significand);
    }

    /// <summary>A double in (0.25, 4).</summary>
    private static Wide FromUnit(double value)
    {
        ulong bits = BitConverter.DoubleToUInt64Bits(value);
        int exponent = (int)((bits >> 52) & 0x7FF) - 1023;
        return new Wide(false, exponent, new UInt128((bits << 11) | (1UL << 63), 0));
    }

    /// <summary>Rounds; a transcendental result is never exact, so the sticky bit is set.</summary>
    public Num Round(in Precision p, ref FpStatus status)
        => SoftFloat.Round.Normalize(Sign, Exponent, High, (ulong)Significand | 1, p, ref status);

    /// <summary>Rounds a result that may be exact.</summary>
    public Num RoundExact(in Precision p, ref FpStatus status)
        => IsZero ? Num.Zero(Sign) : SoftFloat.Round.Normalize(Sign, Exponent, High, (ulong)Significand, p, ref status);

    /// <summary>The integer nearest to a number below 2^63.</summary>
    public long ToNearestInteger()
    {
        Num n = Num.Finite(Sign, Exponent, High);
        FpStatus status = default;
        return IsZero ? 0 : Arithmetic.ToInteger(n, 64, Rounding.Nearest, ref status);
    }
}

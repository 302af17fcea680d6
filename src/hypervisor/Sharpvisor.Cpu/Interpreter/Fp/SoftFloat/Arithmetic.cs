// Addition, multiplication, division and square root of unpacked numbers, rounded once to the wanted precision. NaN operands
// are the caller's, because SSE and the x87 choose differently. Intel SDM Vol. 1, 4.8.3, 8.5, 11.5.2.
namespace Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;

internal static class Arithmetic
{
    private static Num Invalid(ref FpStatus status)
    {
        status.Flags |= FpFlags.Invalid;
        return Num.DefaultNaN;
    }

    private static void NoteDenormal(in Num a, in Num b, ref FpStatus status)
    {
        if (a.IsDenormal || b.IsDenormal)
        {
            status.Flags |= FpFlags.Denormal;
        }
    }

    public static Num Subtract(in Num a, in Num b, in Precision p, ref FpStatus status)
    {
        Num negated = b;
        negated.Sign = !b.Sign;
        return Add(a, negated, p, ref status);
    }

    public static Num Add(in Num a, in Num b, in Precision p, ref FpStatus status)
    {
        if (a.Kind == NumKind.Infinity || b.Kind == NumKind.Infinity)
        {
            if (a.Kind == b.Kind && a.Sign != b.Sign)
            {
                return Invalid(ref status);
            }

            NoteDenormal(a, b, ref status);
            return Num.Infinity(a.Kind == NumKind.Infinity ? a.Sign : b.Sign);
        }

        NoteDenormal(a, b, ref status);
        if (a.Kind == NumKind.Zero || b.Kind == NumKind.Zero)
        {
            if (a.Kind == b.Kind)
            {
                return Num.Zero(a.Sign == b.Sign ? a.Sign : status.Rounding == Rounding.Down);
            }

            Num only = a.Kind == NumKind.Zero ? b : a;
            return Round.ToPrecision(only.Sign, only.Exponent, only.Significand, 0, p, ref status);
        }

        return AddFinite(a, b, p, ref status);
    }

    private static Num AddFinite(in Num a, in Num b, in Precision p, ref FpStatus status)
    {
        bool swap = b.Exponent > a.Exponent || (b.Exponent == a.Exponent && b.Significand > a.Significand);
        Num x = swap ? b : a;
        Num y = swap ? a : b;
        // One bit of headroom for the carry.
        UInt128 big = new(x.Significand >> 1, x.Significand << 63);
        ulong high = y.Significand >> 1;
        ulong low = y.Significand << 63;
        Round.ShiftRightSticky(ref high, ref low, x.Exponent - y.Exponent);
        UInt128 small = new(high, low);
        UInt128 sum = x.Sign == y.Sign ? big + small : big - small;
        if (sum == 0)
        {
            return Num.Zero(status.Rounding == Rounding.Down);
        }

        return Round.Normalize(x.Sign, x.Exponent + 1, (ulong)(sum >> 64), (ulong)sum, p, ref status);
    }

    public static Num Multiply(in Num a, in Num b, in Precision p, ref FpStatus status)
    {
        bool sign = a.Sign != b.Sign;
        if (a.Kind == NumKind.Infinity || b.Kind == NumKind.Infinity)
        {
            if (a.Kind == NumKind.Zero || b.Kind == NumKind.Zero)
            {
                return Invalid(ref status);
            }

            NoteDenormal(a, b, ref status);
            return Num.Infinity(sign);
        }

        NoteDenormal(a, b, ref status);
        if (a.Kind == NumKind.Zero || b.Kind == NumKind.Zero)
        {
            return Num.Zero(sign);
        }

        ulong high = Math.BigMul(a.Significand, b.Significand, out ulong low);
        return Round.Normalize(sign, a.Exponent + b.Exponent + 1, high, low, p, ref status);
    }

    public static Num Divide(in Num a, in Num b, in Precision p, ref FpStatus status)
    {
        bool sign = a.Sign != b.Sign;
        if (a.Kind == NumKind.Infinity)
        {
            if (b.Kind == NumKind.Infinity)
            {
                return Invalid(ref status);
            }

            NoteDenormal(a, b, ref status);
            return Num.Infinity(sign);
        }

        if (b.Kind == NumKind.Zero)
        {
            if (a.Kind == NumKind.Zero)
            {
                return Invalid(ref status);
            }

            status.Flags |= FpFlags.DivideByZero;
            return Num.Infinity(sign);
        }

        NoteDenormal(a, b, ref status);
        if (b.Kind == NumKind.Infinity || a.Kind == NumKind.Zero)
        {
            return Num.Zero(sign);
        }

        UInt128 dividend = new(a.Significand >> 1, a.Significand << 63);
        (UInt128 q1, UInt128 r1) = UInt128.DivRem(dividend, b.Significand);
        (UInt128 q2, UInt128 r2) = UInt128.DivRem(new UInt128((ulong)r1, 0), b.Significand);
        return Round.Normalize(sign, a.Exponent - b.Exponent, (ulong)q1, (ulong)q2 | (r2 != 0 ? 1UL : 0), p, ref status);
    }

    public static Num SquareRoot(in Num a, in Precision p, ref FpStatus status)
    {
        if (a.Kind == NumKind.Zero)
        {
            return a;
        }

        if (a.Sign)
        {
            return Invalid(ref status);
        }

        if (a.IsDenormal)
        {
            status.Flags |= FpFlags.Denormal;
        }

        if (a.Kind == NumKind.Infinity)
        {
            return a;
        }

        bool odd = (a.Exponent & 1) != 0;
        UInt128 radicand = (UInt128)a.Significand << (odd ? 64 : 63);
        ulong root = IntegerRoot(radicand);
        UInt128 rest = radicand - ((UInt128)root * root);
        ulong low = rest == 0 ? 0UL : rest > root ? (1UL << 63) | 1 : 1UL;
        return Round.Normalize(false, (a.Exponent - (odd ? 1 : 0)) / 2, root, low, p, ref status);
    }

    /// <summary>floor(sqrt(n)) for n of at least 2^126.</summary>
    private static ulong IntegerRoot(UInt128 n)
    {
        double estimate = Math.Sqrt((double)n);
        ulong root = estimate >= 18446744073709551615.0 ? ulong.MaxValue : (ulong)estimate;
        // One Newton step takes 52 good bits to all 64, give or take one.
        UInt128 refined = (root + (n / root)) >> 1;
        root = refined > ulong.MaxValue ? ulong.MaxValue : (ulong)refined;
        while ((UInt128)root * root > n)
        {
            root--;
        }

        while (root != ulong.MaxValue && (UInt128)(root + 1) * (root + 1) <= n)
        {
            root++;
        }

        return root;
    }

    /// <summary>-1, 0, 1 for numbers that are not NaN.</summary>
    public static int Compare(in Num a, in Num b)
    {
        int x = Rank(a);
        int y = Rank(b);
        if (x != y || (x != 1 && x != -1))
        {
            return x.CompareTo(y);
        }

        int magnitude = a.Exponent != b.Exponent
            ? a.Exponent.CompareTo(b.Exponent)
            : a.Significand.CompareTo(b.Significand);
        return a.Sign ? -magnitude : magnitude;
    }

    private static int Rank(in Num n)
    {
        int magnitude = n.Kind switch
        {
            NumKind.Zero => 0,
            NumKind.Infinity => 2,
            _ => 1,
        };
        return n.Sign ? -magnitude : magnitude;
    }

    /// <summary>A signed integer of 64 bits, exactly.</summary>
    public static Num FromInt64(long value)
    {
        if (value == 0)
        {
            return Num.Zero(false);
        }

        ulong magnitude = value < 0 ? 0UL - (ulong)value : (ulong)value;
        int lead = global::System.Numerics.BitOperations.LeadingZeroCount(magnitude);
        return Num.Finite(value < 0, 63 - lead, magnitude << lead);
    }

    /// <summary>To a signed integer of the given width; out of range and NaN give the integer indefinite and Invalid.</summary>
    public static long ToInteger(in Num n, int bits, Rounding rounding, ref FpStatus status)
    {
        long indefinite = -1L << (bits - 1);
        if (n.Kind == NumKind.Zero)
        {
            return 0;
        }

        if (n.Kind != NumKind.Finite || n.Exponent > 63)
        {
            status.Flags |= FpFlags.Invalid;
            return indefinite;
        }

        UInt128 magnitude = Round.Magnitude(n, rounding, out bool inexact, out bool up);
        UInt128 limit = UInt128.One << (bits - 1);
        if (magnitude > limit || (magnitude == limit && !n.Sign))
        {
            status.Flags |= FpFlags.Invalid;
            return indefinite;
        }

        if (inexact)
        {
            status.Flags |= FpFlags.Inexact;
            status.RoundedUp = up;
        }

        return n.Sign ? (long)(0UL - (ulong)magnitude) : (long)(ulong)magnitude;
    }
}

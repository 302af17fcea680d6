// Rounding of an exact (or sticky) 128-bit significand to a format, with overflow, underflow (tininess after rounding) and
// inexact. Intel SDM Vol. 1, 4.8.4, 4.9.1.4 to 4.9.1.6, 8.5.4, 8.5.5.
using System.Numerics;

namespace Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;

internal static class Round
{
    /// <summary>Normalises high:low (low's lowest bit sticky) and rounds it. Value: high:low / 2^127 * 2^exponent.</summary>
    public static Num Normalize(bool sign, int exponent, ulong high, ulong low, in Precision p, ref FpStatus status)
    {
        if (high == 0)
        {
            if (low == 0)
            {
                return Num.Zero(sign);
            }

            high = low;
            low = 0;
            exponent -= 64;
        }

        int shift = BitOperations.LeadingZeroCount(high);
        if (shift != 0)
        {
            high = (high << shift) | (low >> (64 - shift));
            low <<= shift;
            exponent -= shift;
        }

        return ToPrecision(sign, exponent, high, low, p, ref status);
    }

    /// <summary>Rounds a normalised significand (bit 63 of high set).</summary>
    public static Num ToPrecision(bool sign, int exponent, ulong high, ulong low, in Precision p, ref FpStatus status)
    {
        ulong rounded = high;
        int carried = exponent;
        bool inexact = Cut(sign, ref rounded, ref carried, low, p.Bits, status.Rounding, out bool up);
        bool tiny = carried < p.MinExponent;
        if (!tiny)
        {
            if (carried > p.MaxExponent)
            {
                return Overflow(sign, rounded, carried, inexact, up, p, ref status);
            }

            Finish(inexact, up, ref status);
            return Num.Finite(sign, carried, rounded);
        }

        if ((status.Masks & FpFlags.Underflow) == 0)
        {
            // Unmasked: tiny is enough, and inexact is said of the significand as if the exponent had no limit (SDM Vol. 1,
            // 4.9.1.5). The x87 wraps the exponent; SSE and stores to memory discard the result.
            status.Flags |= FpFlags.Underflow;
            Finish(inexact, up, ref status);
            return status.WrapExponent ? Num.Finite(sign, carried + 0x6000, rounded) : Num.Zero(sign);
        }
        else if (status.FlushToZero)
        {
            status.Flags |= FpFlags.Underflow | FpFlags.Inexact;
            return Num.Zero(sign);
        }

        return Denormalize(sign, exponent, high, low, p, ref status);
    }

    /// <summary>Rounds at the fixed position of a denormal.</summary>
    private static Num Denormalize(bool sign, int exponent, ulong high, ulong low, in Precision p, ref FpStatus status)
    {
        int shift = p.MinExponent - exponent;
        ShiftRightSticky(ref high, ref low, shift);
        bool inexact = CutFixed(sign, ref high, low, p.Bits, status.Rounding, out bool up, out bool carry);
        Finish(inexact, up, ref status);
        if (inexact)
        {
            status.Flags |= FpFlags.Underflow;
        }

        if (carry)
        {
            return Num.Finite(sign, p.MinExponent + 1, 1UL << 63);
        }

        if (high == 0)
        {
            return Num.Zero(sign);
        }

        int lead = BitOperations.LeadingZeroCount(high);
        return Num.Finite(sign, p.MinExponent - lead, high << lead);
    }

    private static Num Overflow(bool sign, ulong rounded, int exponent, bool inexact, bool up, in Precision p, ref FpStatus status)
    {
        status.Flags |= FpFlags.Overflow;
        if ((status.Masks & FpFlags.Overflow) == 0)
        {
            Finish(inexact, up, ref status);
            return Num.Finite(sign, status.WrapExponent ? exponent - 0x6000 : p.MaxExponent, rounded);
        }

        status.Flags |= FpFlags.Inexact;
        bool toInfinity = status.Rounding switch
        {
            Rounding.Nearest => true,
            Rounding.Down => sign,
            Rounding.Up => !sign,
            _ => false,
        };
        status.RoundedUp = toInfinity;
        return toInfinity ? Num.Infinity(sign) : Num.Finite(sign, p.MaxExponent, ulong.MaxValue << (64 - p.Bits));
    }

    private static void Finish(bool inexact, bool up, ref FpStatus status)
    {
        if (inexact)
        {
            status.Flags |= FpFlags.Inexact;
            status.RoundedUp = up;
        }
    }

    private static bool Cut(bool sign, ref ulong high, ref int exponent, ulong low, int bits, Rounding rounding, out bool up)
    {
        bool inexact = CutFixed(sign, ref high, low, bits, rounding, out up, out bool carry);
        if (carry)
        {
            high = 1UL << 63;
            exponent++;
        }

        return inexact;
    }

    /// <summary>Keeps the top bits of high, rounding by the rest. Carry: the result is 2^64.</summary>
    private static bool CutFixed(bool sign, ref ulong high, ulong low, int bits, Rounding rounding, out bool up, out bool carry)
    {
        int drop = 64 - bits;
        ulong rest;
        bool sticky;
        if (drop == 0)
        {
            rest = low;
            sticky = false;
        }
        else
        {
            rest = high << bits;
            sticky = low != 0;
            high = high >> drop << drop;
        }

        bool inexact = rest != 0 || sticky;
        bool odd = ((high >> drop) & 1) != 0;
        const ulong half = 1UL << 63;
        up = rounding switch
        {
            Rounding.Nearest => rest > half || (rest == half && (sticky || odd)),
            Rounding.Down => inexact && sign,
            Rounding.Up => inexact && !sign,
            _ => false,
        };
        carry = false;
        if (up)
        {
            high += 1UL << drop;
            carry = high == 0;
        }

        return inexact;
    }

    public static void ShiftRightSticky(ref ulong high, ref ulong low, int shift)
    {
        if (shift <= 0)
        {
            return;
        }

        if (shift >= 128)
        {
            low = (high | low) != 0 ? 1UL : 0;
            high = 0;
            return;
        }

        if (shift >= 64)
        {
            low = high | (low != 0 ? 1UL : 0);
            high = 0;
            shift -= 64;
            if (shift == 0)
            {
                return;
            }
        }

        ulong lost = low << (64 - shift);
        low = (low >> shift) | (high << (64 - shift)) | (lost != 0 ? 1UL : 0);
        high >>= shift;
    }

    /// <summary>To an integral value in the given rounding; inexact is reported to the caller.</summary>
    public static Num ToIntegral(in Num n, Rounding rounding, out bool inexact, out bool up)
    {
        inexact = false;
        up = false;
        if (n.Kind != NumKind.Finite || n.Exponent >= 63)
        {
            return n;
        }

        UInt128 magnitude = Magnitude(n, rounding, out inexact, out up);
        if (magnitude == 0)
        {
            return Num.Zero(n.Sign);
        }

        ulong value = (ulong)magnitude;
        int lead = BitOperations.LeadingZeroCount(value);
        return Num.Finite(n.Sign, 63 - lead, value << lead);
    }

    /// <summary>|n| rounded to an integer, for exponents up to 63.</summary>
    public static UInt128 Magnitude(in Num n, Rounding rounding, out bool inexact, out bool up)
    {
        ulong high = n.Significand;
        ulong low = 0;
        if (n.Kind == NumKind.Zero)
        {
            inexact = up = false;
            return 0;
        }

        ShiftRightSticky(ref high, ref low, 63 - n.Exponent);
        inexact = CutFixed(n.Sign, ref high, low, 64, rounding, out up, out bool carry);
        return carry ? UInt128.One << 64 : high;
    }
}

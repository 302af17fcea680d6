// The x87's transcendental functions on finite non-zero arguments. Intel SDM Vol. 1, 8.3.10: the error is below one unit in
// the last place; these results are rounded almost always correctly, so a processor may differ in the last bit.
// DEVIATION: low-order bit against a given processor; test Transcendentals_agree_with_double_math_to_its_precision.
namespace Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;

internal static class Transcendental
{
    private static readonly Wide s_ln2 = new(false, -1, new UInt128(0xB172_17F7_D1CF_79AB, 0xC9E3_B398_03F2_F6AF));
    private static readonly Wide s_log2OfE = new(false, 0, new UInt128(0xB8AA_3B29_5C17_F0BB, 0xBE87_FED0_691D_3E88));
    private static readonly Wide s_pi = new(false, 1, new UInt128(0xC90F_DAA2_2168_C234, 0xC4C6_628B_80DC_1CD1));
    /// <summary>Argument reduction in every x87 since the Pentium uses pi cut to 66 bits: Intel SDM Vol. 1, 8.3.8.</summary>
    private static readonly UInt128 s_halfPi66 = new UInt128(0xC90F_DAA2_2168_C234, 0xC000_0000_0000_0000) >> 62;
    private static readonly Wide s_one = Wide.From(1);
    private static readonly Wide[] s_inverse = MakeInverses(72);
    private static readonly Wide[] s_arctan = [default, ArctanSeries(s_one.Scale(-2), 70), ArctanSeries(s_one.Scale(-1), 71), MakeArctan(3), s_pi.Scale(-2)];

    private static Wide[] MakeInverses(int count)
    {
        var table = new Wide[count * 2];
        for (int i = 1; i < table.Length; i++)
        {
            table[i] = s_one / Wide.From(i);
        }

        return table;
    }

    /// <summary>atan(3/4) = atan(1/2) + atan(2/11).</summary>
    private static Wide MakeArctan(int quarters)
        => quarters == 3
            ? ArctanSeries(s_one.Scale(-1), 71) + ArctanSeries(Wide.From(2) / Wide.From(11), 40)
            : default;

    /// <summary>z - z^3/3 + z^5/5 …</summary>
    private static Wide ArctanSeries(Wide z, int terms)
        => z.Exponent < -60 ? JustBelow(z) : OddSeries(z, terms, alternate: true);

    /// <summary>A little smaller in magnitude, so that directed rounding of x - x^3/6 goes the right way.</summary>
    private static Wide JustBelow(Wide z) => new(z.Sign, z.Exponent, z.Significand - 1);

    /// <summary>The same for x + x^3/3.</summary>
    public static Wide JustAbove(Wide z) => new(z.Sign, z.Exponent, z.Significand | 1);

    private static Wide OddSeries(Wide z, int terms, bool alternate)
    {
        Wide square = z * z;
        Wide factor = alternate ? square.Negate() : square;
        Wide sum = default;
        for (int k = terms - 1; k >= 1; k--)
        {
            sum = factor * (sum + s_inverse[(2 * k) + 1]);
        }

        return z * (sum + s_one);
    }

    /// <summary>2^x - 1 for |x| &lt;= 1.</summary>
    public static Wide Exp2Minus1(Wide x)
    {
        Wide t = x * s_ln2;
        Wide sum = s_one;
        for (int k = 34; k >= 2; k--)
        {
            sum = s_one + (t * s_inverse[k] * sum);
        }

        return t * sum;
    }

    /// <summary>log2 of a positive number.</summary>
    public static Wide Log2(Wide x)
    {
        int exponent = x.Exponent;
        Wide m = new(false, 0, x.Significand);
        const ulong sqrt2 = 0xB504_F333_F9DE_6484;
        if (m.High >= sqrt2)
        {
            m = m.Scale(-1);
            exponent++;
        }

        return Wide.From(exponent) + Log2OfRatio(m - s_one, m + s_one);
    }

    /// <summary>log2(1 + x), without loss near zero.</summary>
    public static Wide Log2OnePlus(Wide x)
        => x.IsZero || x.Exponent < -2 ? Log2OfRatio(x, x + Wide.From(2)) : Log2(s_one + x);

    /// <summary>2/ln 2 * atanh(a / b).</summary>
    private static Wide Log2OfRatio(Wide a, Wide b)
        => a.IsZero ? default : OddSeries(a / b, 28, alternate: false) * s_log2OfE.Scale(1);

    /// <summary>atan2(y, x) for finite non-zero arguments.</summary>
    public static Wide Arctan2(Wide y, Wide x)
    {
        Wide ay = y.Abs();
        Wide ax = x.Abs();
        bool steep = ay.Exponent > ax.Exponent || (ay.Exponent == ax.Exponent && ay.Significand > ax.Significand);
        Wide angle = Arctan(steep ? ax / ay : ay / ax);
        if (steep)
        {
            angle = s_pi.Scale(-1) - angle;
        }

        if (x.Sign)
        {
            angle = s_pi - angle;
        }

        return y.Sign ? angle.Negate() : angle;
    }

    /// <summary>For 0 &lt; r &lt;= 1.</summary>
    private static Wide Arctan(Wide r)
    {
        int quarters = (int)r.Scale(2).ToNearestInteger();
        if (quarters == 0 || r.Exponent < -4)
        {
            return ArctanSeries(r, 26);
        }

        Wide c = Wide.From(quarters).Scale(-2);
        Wide z = (r - c) / (s_one + (r * c));
        return s_arctan[quarters] + ArctanSeries(z, 26);
    }

    /// <summary>Reduces |x| &lt; 2^63 to |r| &lt;= pi/4 and the quadrant.</summary>
    public static Wide Reduce(in Num x, out int quadrant)
    {
        quadrant = 0;
        if (x.Exponent < -1)
        {
            return Wide.From(x);
        }

        // |x| = Significand * 2^(Exponent - 63); pi/2 = s_halfPi66 * 2^-65, exactly.
        UInt128 numerator = x.Significand;
        UInt128 remainder = 0;
        ulong quotient = 0;
        int shift = x.Exponent - 63 + 65;
        for (int bit = 63 + shift; bit >= 0; bit--)
        {
            int source = bit - shift;
            remainder <<= 1;
            if (source >= 0)
            {
                remainder |= (numerator >> source) & 1;
            }

            quotient <<= 1;
            if (remainder >= s_halfPi66)
            {
                remainder -= s_halfPi66;
                quotient |= 1;
            }
        }

        // Bits of x below 2^-65, when the exponent is small enough for there to be any.
        Wide r = new(false, 127 - 65, remainder);
        if (shift < 0)
        {
            r += new Wide(false, 127 - 65 + shift, numerator & ((UInt128.One << -shift) - 1));
        }

        Wide half = new(false, 127 - 65, s_halfPi66);
        if ((remainder << 1) > s_halfPi66)
        {
            r -= half;
            quotient++;
        }

        quadrant = (int)(quotient & 3);
        if (x.Sign)
        {
            r = r.Negate();
            quadrant = -quadrant & 3;
        }

        return r;
    }

    public static Wide SineSeries(Wide r)
    {
        if (r.Exponent < -60)
        {
            return JustBelow(r);
        }

        Wide square = (r * r).Negate();
        Wide sum = s_one;
        for (int k = 16; k >= 1; k--)
        {
            sum = s_one + (square * s_inverse[2 * k] * s_inverse[(2 * k) + 1] * sum);
        }

        return r * sum;
    }

    public static Wide CosineSeries(Wide r)
    {
        if (r.Exponent < -60)
        {
            return JustBelow(s_one);
        }

        Wide square = (r * r).Negate();
        Wide sum = s_one;
        for (int k = 16; k >= 1; k--)
        {
            sum = s_one + (square * s_inverse[(2 * k) - 1] * s_inverse[2 * k] * sum);
        }

        return sum;
    }

    public static Wide Sine(Wide r, int quadrant)
    {
        Wide value = (quadrant & 1) == 0 ? SineSeries(r) : CosineSeries(r);
        return (quadrant & 2) != 0 ? value.Negate() : value;
    }

    public static Wide Cosine(Wide r, int quadrant) => Sine(r, quadrant + 1);

    /// <summary>pi * numerator / 2^shift, for the special cases of FPATAN.</summary>
    public static Wide PiTimes(int numerator, int shift) => (s_pi * Wide.From(numerator)).Scale(-shift);
}

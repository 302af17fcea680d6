// Binary interchange formats and the x87's: IEEE 754-2019 3.4, Intel SDM Vol. 1, 4.2.2. Packing rounds; unpacking is exact.
using System.Numerics;

namespace Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;

/// <summary>How many significand bits a result keeps and the exponents of its normal range.</summary>
internal readonly record struct Precision(int Bits, int MinExponent, int MaxExponent)
{
    public static Precision Single => new(24, -126, 127);

    public static Precision Double => new(53, -1022, 1023);

    public static Precision Extended => new(64, -16382, 16383);
}

internal static class Format
{
    public static Num Unpack32(uint bits, ref FpStatus status)
    {
        bool sign = (bits >> 31) != 0;
        int exponent = (int)(bits >> 23) & 0xFF;
        ulong fraction = (ulong)(bits & 0x7F_FFFF) << 40;
        return Unpack(sign, exponent, fraction, 0xFF, 127, ref status);
    }

    public static Num Unpack64(ulong bits, ref FpStatus status)
    {
        bool sign = (bits >> 63) != 0;
        int exponent = (int)(bits >> 52) & 0x7FF;
        ulong fraction = (bits & 0xF_FFFF_FFFF_FFFF) << 11;
        return Unpack(sign, exponent, fraction, 0x7FF, 1023, ref status);
    }

    /// <param name="sign">Sign bit.</param>
    /// <param name="exponent">Biased exponent.</param>
    /// <param name="fraction">Fraction, its first bit at bit 62.</param>
    /// <param name="special">The biased exponent of infinities and NaNs.</param>
    /// <param name="bias">Exponent bias.</param>
    /// <param name="status">For denormals-are-zero.</param>
    private static Num Unpack(bool sign, int exponent, ulong fraction, int special, int bias, ref FpStatus status)
    {
        Num n = default;
        n.Sign = sign;
        if (exponent == special)
        {
            n.Significand = fraction | (1UL << 63);
            n.Kind = fraction == 0 ? NumKind.Infinity
                : (fraction >> 62) != 0 ? NumKind.QuietNaN : NumKind.SignalingNaN;
        }
        else if (exponent != 0)
        {
            n.Kind = NumKind.Finite;
            n.Exponent = exponent - bias;
            n.Significand = fraction | (1UL << 63);
        }
        else if (fraction != 0 && !status.DenormalsAreZero)
        {
            int shift = BitOperations.LeadingZeroCount(fraction);
            n.Kind = NumKind.Finite;
            n.IsDenormal = true;
            n.Exponent = 1 - bias - shift;
            n.Significand = fraction << shift;
        }

        return n;
    }

    public static Num Unpack80(ushort signExponent, ulong significand)
    {
        Num n = default;
        n.Sign = (signExponent & 0x8000) != 0;
        int exponent = signExponent & 0x7FFF;
        n.Significand = significand;
        if (exponent == 0)
        {
            if (significand != 0)
            {
                // A pseudo-denormal (integer bit set) has the value of the smallest normal exponent, and is a denormal.
                int shift = BitOperations.LeadingZeroCount(significand);
                n.Kind = NumKind.Finite;
                n.IsDenormal = true;
                n.Exponent = -16382 - shift;
                n.Significand = significand << shift;
            }
        }
        else if ((significand >> 63) == 0)
        {
            n.Kind = NumKind.Unsupported;
        }
        else if (exponent == 0x7FFF)
        {
            n.Kind = (significand << 1) == 0 ? NumKind.Infinity
                : (significand & (1UL << 62)) != 0 ? NumKind.QuietNaN : NumKind.SignalingNaN;
        }
        else
        {
            n.Kind = NumKind.Finite;
            n.Exponent = exponent - 16383;
        }

        return n;
    }

    /// <summary>The value must already be rounded to single precision.</summary>
    public static uint Pack32(in Num n)
    {
        uint sign = n.Sign ? 0x8000_0000 : 0;
        switch (n.Kind)
        {
            case NumKind.Zero:
                return sign;
            case NumKind.Finite:
                return n.Exponent < -126
                    ? sign | (uint)(n.Significand >> (40 - 126 - n.Exponent))
                    : sign | ((uint)(n.Exponent + 127) << 23) | ((uint)(n.Significand >> 40) & 0x7F_FFFF);
            default:
                return sign | 0x7F80_0000 | ((uint)(n.Significand >> 40) & 0x7F_FFFF);
        }
    }

    /// <summary>The value must already be rounded to double precision.</summary>
    public static ulong Pack64(in Num n)
    {
        ulong sign = n.Sign ? 1UL << 63 : 0;
        switch (n.Kind)
        {
            case NumKind.Zero:
                return sign;
            case NumKind.Finite:
                return n.Exponent < -1022
                    ? sign | (n.Significand >> (11 - 1022 - n.Exponent))
                    : sign | ((ulong)(n.Exponent + 1023) << 52) | ((n.Significand >> 11) & 0xF_FFFF_FFFF_FFFF);
            default:
                return sign | 0x7FF0_0000_0000_0000 | ((n.Significand >> 11) & 0xF_FFFF_FFFF_FFFF);
        }
    }

    public static X87.Float80 Pack80(in Num n)
    {
        int sign = n.Sign ? 0x8000 : 0;
        switch (n.Kind)
        {
            case NumKind.Zero:
                return new X87.Float80((ushort)sign, 0);
            case NumKind.Finite:
                return n.Exponent < -16382
                    ? new X87.Float80((ushort)sign, n.Significand >> (-16382 - n.Exponent))
                    : new X87.Float80((ushort)(sign | (n.Exponent + 16383)), n.Significand);
            default:
                return new X87.Float80((ushort)(sign | 0x7FFF), n.Significand | (1UL << 63));
        }
    }
}

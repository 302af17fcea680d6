// The software float against the host's own arithmetic and against known 80-bit values.
using Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;
using Sharpvisor.Cpu.Interpreter.Fp.Sse;
using Sharpvisor.Cpu.Interpreter.Fp.X87;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Fp;

public sealed class SoftFloatTests
{
    private const int Rounds = 20_000;

    private static FpStatus Masked(Rounding rounding = Rounding.Nearest)
        => new() { Masks = (FpFlags)0x3F, Rounding = rounding };

    private static double Double(Random random) => random.Next(6) switch
    {
        0 => random.Next(-100, 100),
        1 => BitConverter.UInt64BitsToDouble((ulong)random.NextInt64()),
        2 => double.Epsilon * random.Next(1, 1000),
        3 => random.Next(2) == 0 ? 0.0 : -0.0,
        4 => double.MaxValue / random.Next(1, 5),
        _ => (random.NextDouble() - 0.5) * Math.Pow(2, random.Next(-60, 60)),
    };

    private delegate Num Operation(in Num a, in Num b, in Precision p, ref FpStatus status);

    private static void AgreesOnDoubles(Operation soft, Func<double, double, double> host)
    {
        var random = new Random(1);
        for (int i = 0; i < Rounds; i++)
        {
            double x = Double(random);
            double y = Double(random);
            double expected = host(x, y);
            FpStatus status = Masked();
            Num a = Format.Unpack64(BitConverter.DoubleToUInt64Bits(x), ref status);
            Num b = Format.Unpack64(BitConverter.DoubleToUInt64Bits(y), ref status);
            ulong actual = Format.Pack64(soft(a, b, Precision.Double, ref status));
            if (double.IsNaN(expected))
            {
                Assert.True(double.IsNaN(BitConverter.UInt64BitsToDouble(actual)));
            }
            else
            {
                Assert.True(BitConverter.DoubleToUInt64Bits(expected) == actual, $"{x:R} {y:R}: {expected:R}, {actual:X16}");
            }
        }
    }

    [Fact]
    public void Sum_of_doubles_is_the_hosts() => AgreesOnDoubles(AddOp.Soft, (x, y) => x + y);

    [Fact]
    public void Difference_of_doubles_is_the_hosts() => AgreesOnDoubles(SubOp.Soft, (x, y) => x - y);

    [Fact]
    public void Product_of_doubles_is_the_hosts() => AgreesOnDoubles(MulOp.Soft, (x, y) => x * y);

    [Fact]
    public void Quotient_of_doubles_is_the_hosts() => AgreesOnDoubles(DivOp.Soft, (x, y) => x / y);

    [Fact]
    public void Square_root_of_doubles_is_the_hosts() => AgreesOnDoubles(SqrtOp.Soft, (_, y) => Math.Sqrt(y));

    [Fact]
    public void Double_rounds_to_single_as_the_host_does()
    {
        var random = new Random(2);
        for (int i = 0; i < Rounds; i++)
        {
            double x = Double(random);
            if (double.IsNaN(x) || double.IsInfinity(x))
            {
                continue;
            }

            FpStatus status = Masked();
            Num n = Format.Unpack64(BitConverter.DoubleToUInt64Bits(x), ref status);
            Num r = n.Kind == NumKind.Finite
                ? Round.ToPrecision(n.Sign, n.Exponent, n.Significand, 0, Precision.Single, ref status)
                : n;
            Assert.Equal(BitConverter.SingleToUInt32Bits((float)x), Format.Pack32(r));
        }
    }

    [Theory]
    [InlineData(0, 0x3FFD, 0xAAAA_AAAA_AAAA_AAABUL)]
    [InlineData(1, 0x3FFD, 0xAAAA_AAAA_AAAA_AAAAUL)]
    [InlineData(2, 0x3FFD, 0xAAAA_AAAA_AAAA_AAABUL)]
    [InlineData(3, 0x3FFD, 0xAAAA_AAAA_AAAA_AAAAUL)]
    public void One_third_in_extended_precision_follows_the_rounding_mode(int rounding, int signExponent, ulong significand)
    {
        FpStatus status = Masked((Rounding)rounding);
        Num third = Arithmetic.Divide(Arithmetic.FromInt64(1), Arithmetic.FromInt64(3), Precision.Extended, ref status);
        Assert.Equal(new Float80((ushort)signExponent, significand), Format.Pack80(third));
        Assert.Equal(FpFlags.Inexact, status.Flags);
    }

    [Fact]
    public void Square_root_of_two_in_extended_precision_is_correctly_rounded()
    {
        FpStatus status = Masked();
        Num root = Arithmetic.SquareRoot(Arithmetic.FromInt64(2), Precision.Extended, ref status);
        Assert.Equal(new Float80(0x3FFF, 0xB504_F333_F9DE_6484), Format.Pack80(root));
    }

    [Fact]
    public void Exact_denormal_result_raises_no_underflow_when_masked()
    {
        FpStatus status = Masked();
        Num tiny = Format.Unpack64(2, ref status);
        Num result = Arithmetic.Divide(tiny, Arithmetic.FromInt64(2), Precision.Double, ref status);
        Assert.Equal(1UL, Format.Pack64(result));
        Assert.Equal(FpFlags.Denormal, status.Flags);
    }

    [Fact]
    public void Out_of_range_conversion_gives_the_integer_indefinite()
    {
        FpStatus status = Masked();
        Num big = Format.Unpack64(BitConverter.DoubleToUInt64Bits(3e9), ref status);
        Assert.Equal(int.MinValue, Arithmetic.ToInteger(big, 32, Rounding.Nearest, ref status));
        Assert.Equal(FpFlags.Invalid, status.Flags);
    }

    [Fact]
    public void Transcendentals_agree_with_double_math_to_its_precision()
    {
        var random = new Random(3);
        for (int i = 0; i < 2000; i++)
        {
            double x = (random.NextDouble() - 0.5) * 100;
            FpStatus status = Masked();
            Num n = Format.Unpack64(BitConverter.DoubleToUInt64Bits(x), ref status);
            Wide r = Transcendental.Reduce(n, out int quadrant);
            Near(Math.Sin(x), Transcendental.Sine(r, quadrant));
            Near(Math.Cos(x), Transcendental.Cosine(r, quadrant));
            Near(Math.Log2(Math.Abs(x)), Transcendental.Log2(Wide.From(n).Abs()));
            Near(Math.Atan2(x, 2.0), Transcendental.Arctan2(Wide.From(n), Wide.From(2)));
        }
    }

    private static void Near(double expected, Wide actual)
    {
        FpStatus status = Masked();
        double value = BitConverter.UInt64BitsToDouble(Format.Pack64(actual.Round(Precision.Double, ref status)));
        Assert.True(Math.Abs(expected - value) <= Math.Abs(expected) * 1e-15, $"{expected:R} {value:R}");
    }
}

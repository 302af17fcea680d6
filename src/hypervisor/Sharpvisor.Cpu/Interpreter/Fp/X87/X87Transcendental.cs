// FSIN … FYL2XP1: special cases here (Intel SDM Vol. 2, the tables of each instruction), values in SoftFloat/Transcendental.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;
using static Sharpvisor.Cpu.Interpreter.Fp.X87.X87State;
using static Sharpvisor.Cpu.Interpreter.Fp.X87.X87Support;

namespace Sharpvisor.Cpu.Interpreter.Fp.X87;

internal static unsafe class X87Transcendental
{
    private static void NoteDenormal(in Num a, in Num b, ref FpStatus status)
        => status.Flags |= a.IsDenormal || b.IsDenormal ? FpFlags.Denormal : FpFlags.None;

    private static Num Invalid(ref FpStatus status)
    {
        status.Flags |= FpFlags.Invalid;
        return Num.DefaultNaN;
    }

    /// <summary>2^ST(0) - 1. Outside [-1, 1] the result is undefined: the argument is returned.</summary>
    public static Op* Exp2Minus1(VpState* s, Op* op)
    {
        if (!X87Math.Operand0(s, op, out Num x, out Op* next))
        {
            return next;
        }

        FpStatus status = Status(s);
        if (!SelectNaN(x, x, ref status, out Num result))
        {
            NoteDenormal(x, x, ref status);
            result = x;
            if (x.Kind == NumKind.Infinity && x.Sign)
            {
                result = Num.Finite(true, 0, 1UL << 63);
            }
            else if (x.Kind == NumKind.Finite && x.Exponent < 0)
            {
                result = Transcendental.Exp2Minus1(Wide.From(x)).Round(Precision.Extended, ref status);
            }
            else if (x.Kind == NumKind.Finite && x.Exponent == 0 && x.Significand == 1UL << 63)
            {
                result = Num.Finite(x.Sign, x.Sign ? -1 : 0, 1UL << 63);
                status.Flags |= FpFlags.Inexact;
            }
            else if (x.Kind == NumKind.Finite)
            {
                status.Flags |= FpFlags.Inexact;
            }
        }

        X87Math.Finish(s, op, status, result);
        return next;
    }

    public static Op* Sine(VpState* s, Op* op) => Trigonometric(s, op, cosine: false);

    public static Op* Cosine(VpState* s, Op* op) => Trigonometric(s, op, cosine: true);

    private static Op* Trigonometric(VpState* s, Op* op, bool cosine)
    {
        if (!X87Math.Operand0(s, op, out Num x, out Op* next))
        {
            if (next != null)
            {
                X87Math.ClearC2(s);
            }

            return next;
        }

        if (OutOfRange(s, x))
        {
            return next;
        }

        FpStatus status = Status(s);
        Num sine = SineAndCosine(x, ref status, out Num cos, wantSine: !cosine, wantCosine: cosine);
        X87Math.Finish(s, op, status, cosine ? cos : sine);
        return next;
    }

    /// <summary>|x| of 2^63 or more: C2 is set and nothing else happens.</summary>
    private static bool OutOfRange(VpState* s, in Num x)
    {
        s->Fsw = (ushort)(s->Fsw & ~(C1 | C2));
        if (x.Kind != NumKind.Finite || x.Exponent < 63)
        {
            return false;
        }

        s->Fsw |= C2;
        return true;
    }

    private static Num SineAndCosine(in Num x, ref FpStatus status, out Num cosine, bool wantSine, bool wantCosine)
    {
        if (SelectNaN(x, x, ref status, out Num nan))
        {
            return cosine = nan;
        }

        if (x.Kind == NumKind.Infinity)
        {
            return cosine = Invalid(ref status);
        }

        NoteDenormal(x, x, ref status);
        if (x.Kind == NumKind.Zero)
        {
            cosine = Num.Finite(false, 0, 1UL << 63);
            return x;
        }

        Wide r = Transcendental.Reduce(x, out int quadrant);
        cosine = wantCosine ? Transcendental.Cosine(r, quadrant).Round(Precision.Extended, ref status) : default;
        return wantSine ? Transcendental.Sine(r, quadrant).Round(Precision.Extended, ref status) : default;
    }

    /// <summary>FSINCOS: sine to ST(0), then the cosine is pushed.</summary>
    public static Op* SineCosine(VpState* s, Op* op) => TwoResults(s, op, tangent: false);

    /// <summary>FPTAN: tangent to ST(0), then 1.0 is pushed.</summary>
    public static Op* Tangent(VpState* s, Op* op) => TwoResults(s, op, tangent: true);

    private static Op* TwoResults(VpState* s, Op* op, bool tangent)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        if (IsEmpty(s, 0) || !IsEmpty(s, 7))
        {
            X87Math.ClearC2(s);
            if (IsEmpty(s, 0) ? Underflow(s, op) : Overflow(s, op))
            {
                Write(s, 0, Float80.Indefinite);
                Push(s, Float80.Indefinite);
            }

            return op + 1;
        }

        Num x = ReadNum(s, 0);
        if (OutOfRange(s, x))
        {
            return op + 1;
        }

        FpStatus status = Status(s);
        Num first;
        Num second;
        if (tangent && x.Kind == NumKind.Finite)
        {
            NoteDenormal(x, x, ref status);
            Wide r = Transcendental.Reduce(x, out int quadrant);
            Wide sine = Transcendental.Sine(r, quadrant);
            Wide value = x.Exponent < -60 ? Transcendental.JustAbove(r) : sine / Transcendental.Cosine(r, quadrant);
            first = value.Round(Precision.Extended, ref status);
            second = Num.Finite(false, 0, 1UL << 63);
        }
        else
        {
            first = SineAndCosine(x, ref status, out second, wantSine: true, wantCosine: true);
        }

        if (Commit(s, op, status))
        {
            Write(s, 0, Format.Pack80(first));
            Push(s, Format.Pack80(second));
        }

        return op + 1;
    }

    /// <summary>FPATAN: ST(1) = atan2(ST(1), ST(0)), pop.</summary>
    public static Op* Arctangent(VpState* s, Op* op)
    {
        if (!X87Math.Operands01(s, op, popToSt1: true, out Num x, out Num y, out Op* next))
        {
            return next;
        }

        FpStatus status = Status(s);
        if (!SelectNaN(y, x, ref status, out Num result))
        {
            result = Arctangent(y, x, ref status);
        }

        FinishPop(s, op, status, result);
        return next;
    }

    private static void FinishPop(VpState* s, Op* op, in FpStatus status, in Num result)
    {
        if (Commit(s, op, status))
        {
            Pop(s);
            Write(s, 0, Format.Pack80(result));
        }
    }

    private static Num Arctangent(in Num y, in Num x, ref FpStatus status)
    {
        NoteDenormal(x, y, ref status);
        if (y.Kind == NumKind.Infinity)
        {
            int eighths = x.Kind != NumKind.Infinity ? 4 : x.Sign ? 6 : 2;
            return Angle(y.Sign, eighths, ref status);
        }

        if (x.Kind == NumKind.Infinity || y.Kind == NumKind.Zero)
        {
            return x.Sign ? Angle(y.Sign, 8, ref status) : Num.Zero(y.Sign);
        }

        return x.Kind == NumKind.Zero
            ? Angle(y.Sign, 4, ref status)
            : Transcendental.Arctan2(Wide.From(y), Wide.From(x)).Round(Precision.Extended, ref status);
    }

    private static Num Angle(bool sign, int eighths, ref FpStatus status)
    {
        Wide angle = Transcendental.PiTimes(eighths, 3);
        return (sign ? angle.Negate() : angle).Round(Precision.Extended, ref status);
    }

    /// <summary>FYL2X: ST(1) = ST(1) * log2(ST(0)), pop.</summary>
    public static Op* Log2Times(VpState* s, Op* op) => Logarithm(s, op, plusOne: false);

    /// <summary>FYL2XP1: ST(1) = ST(1) * log2(ST(0) + 1), pop.</summary>
    public static Op* Log2OnePlusTimes(VpState* s, Op* op) => Logarithm(s, op, plusOne: true);

    private static Op* Logarithm(VpState* s, Op* op, bool plusOne)
    {
        if (!X87Math.Operands01(s, op, popToSt1: true, out Num x, out Num y, out Op* next))
        {
            return next;
        }

        FpStatus status = Status(s);
        if (!SelectNaN(y, x, ref status, out Num result))
        {
            result = plusOne ? LogOnePlus(x, y, ref status) : Log(x, y, ref status);
        }

        FinishPop(s, op, status, result);
        return next;
    }

    private static Num Log(in Num x, in Num y, ref FpStatus status)
    {
        if (x.Kind == NumKind.Zero)
        {
            if (y.Kind == NumKind.Zero)
            {
                return Invalid(ref status);
            }

            if (y.Kind == NumKind.Finite)
            {
                status.Flags |= FpFlags.DivideByZero;
            }

            return Num.Infinity(!y.Sign);
        }

        if (x.Sign)
        {
            return Invalid(ref status);
        }

        bool isOne = x.Kind == NumKind.Finite && x.Exponent == 0 && x.Significand == 1UL << 63;
        if (x.Kind == NumKind.Infinity || y.Kind == NumKind.Infinity)
        {
            if (y.Kind == NumKind.Zero || isOne)
            {
                return Invalid(ref status);
            }

            NoteDenormal(x, y, ref status);
            bool logNegative = x.Kind == NumKind.Finite && x.Exponent < 0;
            return Num.Infinity(y.Sign != logNegative);
        }

        NoteDenormal(x, y, ref status);
        if (isOne || y.Kind == NumKind.Zero)
        {
            return Num.Zero(y.Sign != (x.Exponent < 0));
        }

        Wide log = Transcendental.Log2(Wide.From(x));
        Wide product = Wide.From(y) * log;
        // The logarithm of a power of two is an integer.
        return x.Significand == 1UL << 63
            ? product.RoundExact(Precision.Extended, ref status)
            : product.Round(Precision.Extended, ref status);
    }

    private static Num LogOnePlus(in Num x, in Num y, ref FpStatus status)
    {
        if (x.Kind == NumKind.Infinity)
        {
            if (x.Sign || y.Kind == NumKind.Zero)
            {
                return Invalid(ref status);
            }

            NoteDenormal(x, y, ref status);
            return Num.Infinity(y.Sign);
        }

        if (y.Kind == NumKind.Infinity)
        {
            if (x.Kind == NumKind.Zero)
            {
                return Invalid(ref status);
            }

            NoteDenormal(x, y, ref status);
            return Num.Infinity(y.Sign != x.Sign);
        }

        NoteDenormal(x, y, ref status);
        if (x.Kind == NumKind.Zero || y.Kind == NumKind.Zero)
        {
            return Num.Zero(y.Sign != x.Sign);
        }

        // At -1 and below the result is undefined.
        if (x.Sign && x.Exponent >= 0)
        {
            status.Flags |= FpFlags.Inexact;
            return x;
        }

        return (Wide.From(y) * Transcendental.Log2OnePlus(Wide.From(x))).Round(Precision.Extended, ref status);
    }
}

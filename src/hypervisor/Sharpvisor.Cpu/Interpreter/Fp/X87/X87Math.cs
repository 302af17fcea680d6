// x87 unary and two-register functions that are not transcendental: Intel SDM Vol. 2.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;
using static Sharpvisor.Cpu.Interpreter.Fp.X87.X87State;
using static Sharpvisor.Cpu.Interpreter.Fp.X87.X87Support;

namespace Sharpvisor.Cpu.Interpreter.Fp.X87;

internal static unsafe class X87Math
{
    public static Op* ChangeSign(VpState* s, Op* op) => SignBit(s, op, and: 0xFFFF, xor: 0x8000);

    public static Op* Absolute(VpState* s, Op* op) => SignBit(s, op, and: 0x7FFF, xor: 0);

    private static Op* SignBit(VpState* s, Op* op, int and, int xor)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        if (!IsEmpty(s, 0))
        {
            s->Fsw = (ushort)(s->Fsw & ~C1);
            Float80 value = Read(s, 0);
            Write(s, 0, new Float80((ushort)((value.SignExponent & and) ^ xor), value.Significand));
        }
        else if (Underflow(s, op))
        {
            Write(s, 0, Float80.Indefinite);
        }

        return op + 1;
    }

    /// <summary>The prologue of functions of ST(0) alone. False: all is done, go on with the next instruction (or refuse).</summary>
    internal static bool Operand0(VpState* s, Op* op, out Num value, out Op* next)
    {
        value = default;
        if (!Begin(s, op))
        {
            next = Refuse(s, op);
            return false;
        }

        next = op + 1;
        if (IsEmpty(s, 0))
        {
            if (Underflow(s, op))
            {
                Write(s, 0, Float80.Indefinite);
            }

            return false;
        }

        value = ReadNum(s, 0);
        return true;
    }

    /// <summary>The same for ST(0) and ST(1); the masked result of an empty register goes to ST(destination).</summary>
    internal static bool Operands01(VpState* s, Op* op, bool popToSt1, out Num st0, out Num st1, out Op* next)
    {
        st0 = default;
        st1 = default;
        if (!Begin(s, op))
        {
            next = Refuse(s, op);
            return false;
        }

        next = op + 1;
        if (IsEmpty(s, 0) || IsEmpty(s, 1))
        {
            if (Underflow(s, op))
            {
                if (popToSt1)
                {
                    Pop(s);
                }

                Write(s, 0, Float80.Indefinite);
            }

            return false;
        }

        st0 = ReadNum(s, 0);
        st1 = ReadNum(s, 1);
        return true;
    }

    internal static void Finish(VpState* s, Op* op, in FpStatus status, in Num result)
    {
        if (Commit(s, op, status))
        {
            Write(s, 0, Format.Pack80(result));
        }
    }

    public static Op* SquareRoot(VpState* s, Op* op)
    {
        if (!Operand0(s, op, out Num value, out Op* next))
        {
            return next;
        }

        FpStatus status = Status(s);
        if (!SelectNaN(value, value, ref status, out Num result))
        {
            result = Arithmetic.SquareRoot(value, PrecisionOf(s), ref status);
        }

        Finish(s, op, status, result);
        return next;
    }

    public static Op* RoundToInteger(VpState* s, Op* op)
    {
        if (!Operand0(s, op, out Num value, out Op* next))
        {
            return next;
        }

        FpStatus status = Status(s);
        if (!SelectNaN(value, value, ref status, out Num result))
        {
            status.Flags |= value.IsDenormal ? FpFlags.Denormal : FpFlags.None;
            result = Round.ToIntegral(value, status.Rounding, out bool inexact, out bool up);
            status.Flags |= inexact ? FpFlags.Inexact : FpFlags.None;
            status.RoundedUp = up;
        }

        Finish(s, op, status, result);
        return next;
    }

    /// <summary>FXTRACT: exponent to ST(0), then the significand is pushed.</summary>
    public static Op* Extract(VpState* s, Op* op)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        if (IsEmpty(s, 0) || !IsEmpty(s, 7))
        {
            if (IsEmpty(s, 0) ? Underflow(s, op) : Overflow(s, op))
            {
                Write(s, 0, Float80.Indefinite);
                Push(s, Float80.Indefinite);
            }

            return op + 1;
        }

        Num value = ReadNum(s, 0);
        FpStatus status = Status(s);
        Num exponent;
        Num significand = value;
        if (SelectNaN(value, value, ref status, out Num nan))
        {
            exponent = significand = nan;
        }
        else if (value.Kind == NumKind.Zero)
        {
            status.Flags |= FpFlags.DivideByZero;
            exponent = Num.Infinity(true);
        }
        else if (value.Kind == NumKind.Infinity)
        {
            exponent = Num.Infinity(false);
        }
        else
        {
            status.Flags |= value.IsDenormal ? FpFlags.Denormal : FpFlags.None;
            exponent = Arithmetic.FromInt64(value.Exponent);
            significand.Exponent = 0;
        }

        if (Commit(s, op, status))
        {
            Write(s, 0, Format.Pack80(exponent));
            Push(s, Format.Pack80(significand));
        }

        return op + 1;
    }

    /// <summary>FSCALE: ST(0) * 2^trunc(ST(1)).</summary>
    public static Op* Scale(VpState* s, Op* op)
    {
        if (!Operands01(s, op, popToSt1: false, out Num a, out Num b, out Op* next))
        {
            return next;
        }

        FpStatus status = Status(s);
        if (!SelectNaN(a, b, ref status, out Num result))
        {
            result = Scale(a, b, ref status);
        }

        Finish(s, op, status, result);
        return next;
    }

    private static Num Scale(in Num a, in Num b, ref FpStatus status)
    {
        if (b.Kind == NumKind.Infinity && a.Kind == (b.Sign ? NumKind.Infinity : NumKind.Zero))
        {
            status.Flags |= FpFlags.Invalid;
            return Num.DefaultNaN;
        }

        status.Flags |= a.IsDenormal || b.IsDenormal ? FpFlags.Denormal : FpFlags.None;
        if (b.Kind == NumKind.Infinity)
        {
            return b.Sign ? Num.Zero(a.Sign) : Num.Infinity(a.Sign);
        }

        if (a.Kind != NumKind.Finite)
        {
            return a;
        }

        const int limit = 0x10000;
        int by = 0;
        if (b.Kind == NumKind.Finite && b.Exponent >= 0)
        {
            by = b.Exponent > 16 ? limit : (int)Math.Min((ulong)limit, b.Significand >> (63 - b.Exponent));
            by = b.Sign ? -by : by;
        }

        return Scaled(a, a.Exponent + by, ref status);
    }

    /// <summary>Beyond what a wrapped exponent can express, an unmasked overflow gives infinity and an underflow zero.</summary>
    private static Num Scaled(in Num a, int exponent, ref FpStatus status)
    {
        bool huge = exponent > 16383 + 0x6000 && (status.Masks & FpFlags.Overflow) == 0;
        bool tiny = exponent < -16382 - 0x6000 && (status.Masks & FpFlags.Underflow) == 0;
        if (!huge && !tiny)
        {
            return Round.ToPrecision(a.Sign, exponent, a.Significand, 0, Precision.Extended, ref status);
        }

        status.Flags |= FpFlags.Inexact | (huge ? FpFlags.Overflow : FpFlags.Underflow);
        status.RoundedUp = huge;
        return huge ? Num.Infinity(a.Sign) : Num.Zero(a.Sign);
    }

    /// <summary>The functions that report an incomplete reduction in C2 clear it otherwise, even on an empty register.</summary>
    internal static void ClearC2(VpState* s) => s->Fsw = (ushort)(s->Fsw & ~C2);

    public static Op* Remainder(VpState* s, Op* op) => Remainder(s, op, nearest: false);

    public static Op* RemainderNearest(VpState* s, Op* op) => Remainder(s, op, nearest: true);

    private static Op* Remainder(VpState* s, Op* op, bool nearest)
    {
        if (!Operands01(s, op, popToSt1: false, out Num a, out Num b, out Op* next))
        {
            if (next != null)
            {
                ClearC2(s);
            }

            return next;
        }

        FpStatus status = Status(s);
        int conditions = 0;
        if (!SelectNaN(a, b, ref status, out Num result))
        {
            result = Remainder(a, b, nearest, ref status, out conditions);
        }

        // A NaN result leaves C0 and C3 alone.
        s->Fsw = (ushort)(s->Fsw & ~C2);
        if (Commit(s, op, status))
        {
            Write(s, 0, Format.Pack80(result));
            if (!result.IsNaN)
            {
                s->Fsw = (ushort)((s->Fsw & ~Conditions) | conditions);
            }
        }

        return next;
    }

    private static Num Remainder(in Num a, in Num b, bool nearest, ref FpStatus status, out int conditions)
    {
        conditions = 0;
        if (a.Kind == NumKind.Infinity || b.Kind == NumKind.Zero)
        {
            status.Flags |= FpFlags.Invalid;
            return Num.DefaultNaN;
        }

        status.Flags |= a.IsDenormal || b.IsDenormal ? FpFlags.Denormal : FpFlags.None;
        int distance = a.Exponent - b.Exponent;
        if (a.Kind == NumKind.Zero || b.Kind == NumKind.Infinity || distance < -1 || (distance < 0 && !nearest))
        {
            // Already reduced; an unmasked underflow is still signalled.
            return a.Kind == NumKind.Zero
                ? a
                : Round.ToPrecision(a.Sign, a.Exponent, a.Significand, 0, Precision.Extended, ref status);
        }

        int scale = 0;
        if (distance >= 64)
        {
            // A partial reduction by 32..63 bits; C2 tells the program to repeat.
            conditions = C2;
            int step = (distance & 31) | 32;
            scale = distance - step;
            distance = step;
        }

        UInt128 divisor = b.Significand;
        UInt128 dividend = a.Significand;
        int exponent = b.Exponent + scale;
        if (distance < 0)
        {
            divisor <<= 1;
            exponent--;
        }
        else
        {
            dividend <<= distance;
        }

        (UInt128 quotient, UInt128 rest) = UInt128.DivRem(dividend, divisor);
        bool sign = a.Sign;
        if (nearest && conditions == 0)
        {
            UInt128 twice = rest << 1;
            if (twice > divisor || (twice == divisor && (quotient & 1) != 0))
            {
                rest = divisor - rest;
                sign = !sign;
                quotient++;
            }
        }

        if (conditions == 0)
        {
            int q = (int)quotient & 7;
            conditions = ((q & 1) != 0 ? C1 : 0) | ((q & 2) != 0 ? C3 : 0) | ((q & 4) != 0 ? C0 : 0);
        }

        return rest == 0
            ? Num.Zero(a.Sign)
            : Round.Normalize(sign, exponent + 64, (ulong)(rest >> 64), (ulong)rest, Precision.Extended, ref status);
    }

    /// <summary>FXAM: never faults, not even on an empty register.</summary>
    public static Op* Examine(VpState* s, Op* op)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        Num value = ReadNum(s, 0);
        int conditions = value.Kind switch
        {
            _ when IsEmpty(s, 0) => C3 | C0,
            NumKind.Unsupported => 0,
            NumKind.QuietNaN or NumKind.SignalingNaN => C0,
            NumKind.Infinity => C2 | C0,
            NumKind.Zero => C3,
            _ => value.IsDenormal ? C3 | C2 : C2,
        };
        s->Fsw = (ushort)((s->Fsw & ~Conditions) | conditions | (value.Sign ? C1 : 0));
        return op + 1;
    }
}

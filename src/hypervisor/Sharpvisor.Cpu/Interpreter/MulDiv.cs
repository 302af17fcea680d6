// MUL IMUL DIV IDIV (Intel SDM Vol. 2). Division errors are #DE with nothing changed.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe class MulDiv<T>
    where T : unmanaged
{
    public static Op* Mul(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadFirst(s, op, out ulong b))
        {
            return null;
        }

        ulong a = Sized<T>.Get(s, 0);
        ulong low;
        ulong high;
        if (sizeof(T) == 8)
        {
            high = Math.BigMul(a, b, out low);
        }
        else
        {
            low = a * b;
            high = Sized<T>.Zx(low >> (sizeof(T) * 8));
        }

        Store(s, low, high);
        Flags.SetResult(s, Sized<T>.Sx(low), high != 0, high != 0);
        return op + 1;
    }

    public static Op* Imul(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadFirst(s, op, out ulong b))
        {
            return null;
        }

        bool overflow = Multiply(Sized<T>.Get(s, 0), b, out ulong low, out ulong high);
        Store(s, low, high);
        Flags.SetResult(s, Sized<T>.Sx(low), overflow, overflow);
        return op + 1;
    }

    public static Op* Imul2(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong b))
        {
            return null;
        }

        bool overflow = Multiply(Sized<T>.Get(s, op->Dst), b, out ulong low, out _);
        Sized<T>.Set(s, op->Dst, low);
        Flags.SetResult(s, Sized<T>.Sx(low), overflow, overflow);
        return op + 1;
    }

    public static Op* Imul3(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong a))
        {
            return null;
        }

        bool overflow = Multiply(a, (ulong)op->Immediate, out ulong low, out _);
        Sized<T>.Set(s, op->Dst, low);
        Flags.SetResult(s, Sized<T>.Sx(low), overflow, overflow);
        return op + 1;
    }

    public static Op* Div(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadFirst(s, op, out ulong divisor))
        {
            return null;
        }

        if (sizeof(T) == 8)
        {
            ulong high = s->Gpr[2];
            ulong low = s->Gpr[0];
            if (high >= divisor)
            {
                return Faults.Raise(s, op, Vector.DE);
            }

            (ulong q, ulong r) = high == 0 ? Math.DivRem(low, divisor) : Divide128(high, low, divisor);
            s->Gpr[0] = q;
            s->Gpr[2] = r;
            return op + 1;
        }

        ulong dividend = Dividend(s);
        if (divisor == 0 || dividend / divisor > Sized<T>.Mask)
        {
            return Faults.Raise(s, op, Vector.DE);
        }

        StoreQuotient(s, dividend / divisor, dividend % divisor);
        return op + 1;
    }

    public static Op* Idiv(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadFirst(s, op, out ulong raw))
        {
            return null;
        }

        long divisor = (long)Sized<T>.Sx(raw);
        if (divisor == 0)
        {
            return Faults.Raise(s, op, Vector.DE);
        }

        if (sizeof(T) == 8)
        {
            var wide = new Int128(s->Gpr[2], s->Gpr[0]);
            if ((long)s->Gpr[2] == (long)s->Gpr[0] >> 63 && divisor != -1)
            {
                (long q, long r) = Math.DivRem((long)s->Gpr[0], divisor);
                s->Gpr[0] = (ulong)q;
                s->Gpr[2] = (ulong)r;
                return op + 1;
            }

            if (wide == Int128.MinValue)
            {
                return Faults.Raise(s, op, Vector.DE);
            }

            Int128 quotient = wide / divisor;
            if (quotient < long.MinValue || quotient > long.MaxValue)
            {
                return Faults.Raise(s, op, Vector.DE);
            }

            s->Gpr[2] = (ulong)(long)(wide - (quotient * divisor));
            s->Gpr[0] = (ulong)(long)quotient;
            return op + 1;
        }

        long dividend = sizeof(T) == 1 ? (short)Dividend(s) : sizeof(T) == 2 ? (int)Dividend(s) : (long)Dividend(s);
        if (dividend == long.MinValue && divisor == -1)
        {
            return Faults.Raise(s, op, Vector.DE);
        }

        long result = dividend / divisor;
        if (result != (long)Sized<T>.Sx((ulong)result))
        {
            return Faults.Raise(s, op, Vector.DE);
        }

        StoreQuotient(s, (ulong)result, (ulong)(dividend % divisor));
        return op + 1;
    }

    /// <returns>Whether the product does not fit in the low half.</returns>
    private static bool Multiply(ulong a, ulong b, out ulong low, out ulong high)
    {
        if (sizeof(T) == 8)
        {
            high = (ulong)Math.BigMul((long)a, (long)b, out long signedLow);
            low = (ulong)signedLow;
            return high != (ulong)(signedLow >> 63);
        }

        low = Sized<T>.Sx(a) * Sized<T>.Sx(b);
        high = Sized<T>.Zx(low >> (sizeof(T) * 8));
        return low != Sized<T>.Sx(low);
    }

    private static void Store(VpState* s, ulong low, ulong high)
    {
        if (sizeof(T) == 1)
        {
            *(ushort*)s->Gpr = (ushort)low;
        }
        else
        {
            Sized<T>.Set(s, 0, low);
            Sized<T>.Set(s, 2, high);
        }
    }

    private static ulong Dividend(VpState* s) =>
        sizeof(T) == 1 ? (ushort)s->Gpr[0]
        : (Sized<T>.Zx(s->Gpr[2]) << (sizeof(T) * 8)) | Sized<T>.Zx(s->Gpr[0]);

    private static void StoreQuotient(VpState* s, ulong quotient, ulong remainder)
    {
        if (sizeof(T) == 1)
        {
            *(ushort*)s->Gpr = (ushort)((byte)quotient | ((remainder & 0xFF) << 8));
        }
        else
        {
            Sized<T>.Set(s, 0, quotient);
            Sized<T>.Set(s, 2, remainder);
        }
    }

    private static (ulong Quotient, ulong Remainder) Divide128(ulong high, ulong low, ulong divisor)
    {
        UInt128 dividend = new(high, low);
        UInt128 quotient = dividend / divisor;
        return ((ulong)quotient, (ulong)(dividend - (quotient * divisor)));
    }
}

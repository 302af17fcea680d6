// x87 loads, stores, exchanges, conditional moves, constants and stack management: Intel SDM Vol. 2.
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;
using Sharpvisor.Cpu.Interpreter.Fp.Sse;
using Sharpvisor.Cpu.Mmu;
using static Sharpvisor.Cpu.Interpreter.Fp.X87.X87State;
using static Sharpvisor.Cpu.Interpreter.Fp.X87.X87Support;

namespace Sharpvisor.Cpu.Interpreter.Fp.X87;

internal static unsafe class X87Moves
{
    private static void ClearC1(VpState* s) => s->Fsw = (ushort)(s->Fsw & ~C1);

    /// <summary>Pushes unless ST(7) is in use.</summary>
    private static void PushChecked(VpState* s, Op* op, Float80 value)
    {
        if (IsEmpty(s, 7))
        {
            ClearC1(s);
            Push(s, value);
        }
        else if (Overflow(s, op))
        {
            Push(s, Float80.Indefinite);
        }
    }

    /// <summary>FLD m32/m64, FILD.</summary>
    public static Op* Load<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!LoadNum<T>(s, op, out Num value))
        {
            return null;
        }

        Track(s, op);
        if (!IsEmpty(s, 7))
        {
            PushChecked(s, op, default);
            return op + 1;
        }

        FpStatus status = Status(s);
        if (SelectNaN(value, value, ref status, out Num nan))
        {
            value = nan;
        }
        else if (value.IsDenormal)
        {
            status.Flags |= FpFlags.Denormal;
        }

        if (Commit(s, op, status))
        {
            Push(s, Format.Pack80(value));
        }

        return op + 1;
    }

    public static Op* LoadExtended(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!Operand.Address(s, op, out ulong linear, 10, write: false)
            || !GuestAccess.Load(s, linear, out ulong significand)
            || !GuestAccess.Load(s, linear + 8, out ushort signExponent))
        {
            return null;
        }

        Track(s, op);
        PushChecked(s, op, new Float80(signExponent, significand));
        return op + 1;
    }

    public static Op* LoadRegister(VpState* s, Op* op)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        if (!IsEmpty(s, op->Dst))
        {
            PushChecked(s, op, Read(s, op->Dst));
        }
        else if (Underflow(s, op))
        {
            Push(s, Float80.Indefinite);
        }

        return op + 1;
    }

    public static Op* Store<T>(VpState* s, Op* op)
        where T : unmanaged
        => Store<T>(s, op, pop: false, truncate: false);

    public static Op* StorePop<T>(VpState* s, Op* op)
        where T : unmanaged
        => Store<T>(s, op, pop: true, truncate: false);

    /// <summary>FISTTP.</summary>
    public static Op* StoreTruncatedPop<T>(VpState* s, Op* op)
        where T : unmanaged
        => Store<T>(s, op, pop: true, truncate: true);

    /// <summary>FST/FSTP m32/m64, FIST/FISTP: nothing is stored when an unmasked exception but "inexact" occurs.</summary>
    private static Op* Store<T>(VpState* s, Op* op, bool pop, bool truncate)
        where T : unmanaged
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        FpStatus status = Status(s);
        status.WrapExponent = false;
        bool empty = IsEmpty(s, 0);
        ulong raw = empty ? Indefinite<T>() : Convert<T>(ReadNum(s, 0), truncate, ref status);
        const FpFlags blocking = FpFlags.PreComputation | FpFlags.Overflow | FpFlags.Underflow;
        FpFlags flags = empty ? FpFlags.Invalid : status.Flags;
        bool stores = (flags & ~status.Masks & blocking) == 0;
        if (stores ? !SseAccess.Store(s, op, *(T*)&raw) : !Probe(s, op, sizeof(T)))
        {
            return null;
        }

        Track(s, op);
        bool done = empty ? Underflow(s, op) : Commit(s, op, status, blocking);
        if (done && pop)
        {
            Pop(s);
        }

        return op + 1;
    }

    private static ulong Indefinite<T>()
        where T : unmanaged
        => typeof(T) == typeof(float) ? 0xFFC0_0000UL
            : typeof(T) == typeof(double) ? 0xFFF8_0000_0000_0000UL
            : 1UL << ((sizeof(T) * 8) - 1);

    private static ulong Convert<T>(in Num n, bool truncate, ref FpStatus status)
        where T : unmanaged
    {
        if (typeof(T) != typeof(float) && typeof(T) != typeof(double))
        {
            return (ulong)Arithmetic.ToInteger(n, sizeof(T) * 8, truncate ? Rounding.Zero : status.Rounding, ref status);
        }

        if (!SelectNaN(n, n, ref status, out Num r))
        {
            Precision p = typeof(T) == typeof(float) ? Precision.Single : Precision.Double;
            r = n.Kind == NumKind.Finite ? Round.ToPrecision(n.Sign, n.Exponent, n.Significand, 0, p, ref status) : n;
        }

        return typeof(T) == typeof(float) ? Format.Pack32(r) : Format.Pack64(r);
    }

    public static Op* StoreExtendedPop(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        bool empty = IsEmpty(s, 0);
        if (!empty || (s->Fcw & 1) != 0)
        {
            Float80 value = empty ? Float80.Indefinite : Read(s, 0);
            if (!Put80(s, op, value.Significand, value.SignExponent))
            {
                return null;
            }
        }
        else if (!Probe(s, op, 10))
        {
            return null;
        }

        Track(s, op);
        if (!empty)
        {
            ClearC1(s);
            Pop(s);
        }
        else if (Underflow(s, op))
        {
            Pop(s);
        }

        return op + 1;
    }

    /// <summary>A store that an unmasked exception stops still faults when its operand is not writable.</summary>
    private static bool Probe(VpState* s, Op* op, int bytes)
    {
        if (!Operand.Address(s, op, out ulong linear, (uint)bytes, write: true))
        {
            return false;
        }

        for (int i = 0; i < bytes; i += 2)
        {
            if (!GuestAccess.LoadForWrite(s, linear + (ulong)i, out ushort _))
            {
                return false;
            }
        }

        return true;
    }

    private static bool Put80(VpState* s, Op* op, ulong low, ushort high)
        => Operand.Address(s, op, out ulong linear, 10, write: true)
            && GuestAccess.LoadForWrite(s, linear, out ulong _)
            && GuestAccess.LoadForWrite(s, linear + 8, out ushort _)
            && GuestAccess.Store(s, linear, low)
            && GuestAccess.Store(s, linear + 8, high);

    /// <summary>FBLD: 18 packed decimal digits and a sign.</summary>
    public static Op* LoadDecimal(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!Operand.Address(s, op, out ulong linear, 10, write: false)
            || !GuestAccess.Load(s, linear, out ulong low)
            || !GuestAccess.Load(s, linear + 8, out ushort high))
        {
            return null;
        }

        Track(s, op);
        long value = 0;
        for (int i = 17; i >= 0; i--)
        {
            int digit = i >= 16 ? (high >> ((i - 16) * 4)) & 15 : (int)(low >> (i * 4)) & 15;
            value = (value * 10) + digit;
        }

        Num n = Arithmetic.FromInt64(value);
        n.Sign = (high & 0x8000) != 0;
        PushChecked(s, op, Format.Pack80(n));
        return op + 1;
    }

    /// <summary>FBSTP.</summary>
    public static Op* StoreDecimalPop(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        FpStatus status = Status(s);
        bool empty = IsEmpty(s, 0);
        ulong low = 0xC000_0000_0000_0000;
        ushort high = 0xFFFF;
        if (!empty)
        {
            Num n = ReadNum(s, 0);
            FpStatus trial = status;
            long value = Arithmetic.ToInteger(n, 64, status.Rounding, ref trial);
            if ((trial.Flags & FpFlags.Invalid) != 0 || value is > 999_999_999_999_999_999 or < -999_999_999_999_999_999)
            {
                status.Flags |= FpFlags.Invalid;
            }
            else
            {
                status = trial;
                ToDecimal(Math.Abs(value), n.Sign, out low, out high);
            }
        }

        FpFlags flags = empty ? FpFlags.Invalid : status.Flags;
        bool stores = (flags & ~status.Masks & FpFlags.Invalid) == 0;
        if (stores ? !Put80(s, op, low, high) : !Probe(s, op, 10))
        {
            return null;
        }

        Track(s, op);
        if (empty ? Underflow(s, op) : Commit(s, op, status))
        {
            Pop(s);
        }

        return op + 1;
    }

    private static void ToDecimal(long magnitude, bool sign, out ulong low, out ushort high)
    {
        low = 0;
        int top = sign ? 0x8000 : 0;
        for (int i = 0; i < 18; i++)
        {
            (magnitude, long digit) = Math.DivRem(magnitude, 10);
            if (i < 16)
            {
                low |= (ulong)digit << (i * 4);
            }
            else
            {
                top |= (int)digit << ((i - 16) * 4);
            }
        }

        high = (ushort)top;
    }

    public static Op* StoreRegister(VpState* s, Op* op) => StoreRegister(s, op, pop: false);

    public static Op* StoreRegisterPop(VpState* s, Op* op) => StoreRegister(s, op, pop: true);

    private static Op* StoreRegister(VpState* s, Op* op, bool pop)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        Float80 value = Float80.Indefinite;
        if (!IsEmpty(s, 0))
        {
            ClearC1(s);
            value = Read(s, 0);
        }
        else if (!Underflow(s, op))
        {
            return op + 1;
        }

        Write(s, op->Dst, value);
        if (pop)
        {
            Pop(s);
        }

        return op + 1;
    }

    /// <summary>FSTPNCE (D9 D8+i): FSTP that does not check for an empty register.</summary>
    public static Op* StoreRegisterPopUnchecked(VpState* s, Op* op)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        if (!IsEmpty(s, 0))
        {
            return StoreRegister(s, op, pop: true);
        }

        ClearC1(s);
        Pop(s);
        return op + 1;
    }

    public static Op* Exchange(VpState* s, Op* op)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        Float80 a = IsEmpty(s, 0) ? Float80.Indefinite : Read(s, 0);
        Float80 b = IsEmpty(s, op->Src) ? Float80.Indefinite : Read(s, op->Src);
        if (!IsEmpty(s, 0) && !IsEmpty(s, op->Src))
        {
            ClearC1(s);
        }
        else if (!Underflow(s, op))
        {
            return op + 1;
        }

        Write(s, op->Src, a);
        Write(s, 0, b);
        return op + 1;
    }

    public static Op* MoveIfBelow(VpState* s, Op* op) => MoveIf(s, op, Flags.Carry(s));

    public static Op* MoveIfEqual(VpState* s, Op* op) => MoveIf(s, op, Flags.Zero(s));

    public static Op* MoveIfBelowOrEqual(VpState* s, Op* op) => MoveIf(s, op, Flags.Carry(s) || Flags.Zero(s));

    public static Op* MoveIfUnordered(VpState* s, Op* op) => MoveIf(s, op, Flags.Parity(s));

    public static Op* MoveIfNotBelow(VpState* s, Op* op) => MoveIf(s, op, !Flags.Carry(s));

    public static Op* MoveIfNotEqual(VpState* s, Op* op) => MoveIf(s, op, !Flags.Zero(s));

    public static Op* MoveIfAbove(VpState* s, Op* op) => MoveIf(s, op, !Flags.Carry(s) && !Flags.Zero(s));

    public static Op* MoveIfOrdered(VpState* s, Op* op) => MoveIf(s, op, !Flags.Parity(s));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Op* MoveIf(VpState* s, Op* op, bool condition)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        if (IsEmpty(s, 0) || IsEmpty(s, op->Src))
        {
            if (Underflow(s, op))
            {
                Write(s, 0, Float80.Indefinite);
            }
        }
        else if (condition)
        {
            Write(s, 0, Read(s, op->Src));
        }

        return op + 1;
    }

    public static Op* Free(VpState* s, Op* op)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        ClearC1(s);
        s->Ftw = (ushort)(s->Ftw & ~(1 << Physical(s, op->Dst)));
        return op + 1;
    }

    public static Op* FreePop(VpState* s, Op* op)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        ClearC1(s);
        s->Ftw = (ushort)(s->Ftw & ~(1 << Physical(s, op->Dst)));
        Pop(s);
        return op + 1;
    }

    public static Op* Increment(VpState* s, Op* op) => Turn(s, op, 1);

    public static Op* Decrement(VpState* s, Op* op) => Turn(s, op, -1);

    private static Op* Turn(VpState* s, Op* op, int by)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        ClearC1(s);
        SetTop(s, Top(s) + by);
        return op + 1;
    }

    public static Op* Nop(VpState* s, Op* op) => Begin(s, op) ? op + 1 : Refuse(s, op);

    public static Op* Zero(VpState* s, Op* op) => Constant(s, op, 0, 0, 0);

    public static Op* One(VpState* s, Op* op) => Constant(s, op, 0, 1UL << 63, 0);

    public static Op* Log2Of10(VpState* s, Op* op) => Constant(s, op, 1, 0xD49A_784B_CD1B_8AFE, 0x492B_F6FF_4DAF_DB4C);

    public static Op* Log2OfE(VpState* s, Op* op) => Constant(s, op, 0, 0xB8AA_3B29_5C17_F0BB, 0xBE87_FED0_691D_3E88);

    public static Op* Pi(VpState* s, Op* op) => Constant(s, op, 1, 0xC90F_DAA2_2168_C234, 0xC4C6_628B_80DC_1CD1);

    public static Op* Log10Of2(VpState* s, Op* op) => Constant(s, op, -2, 0x9A20_9A84_FBCF_F798, 0x8F89_59AC_0B7C_9178);

    public static Op* LogEOf2(VpState* s, Op* op) => Constant(s, op, -1, 0xB172_17F7_D1CF_79AB, 0xC9E3_B398_03F2_F6AF);

    /// <summary>Rounded by RC to 64 bits, whatever the precision control; no exception.</summary>
    private static Op* Constant(VpState* s, Op* op, int exponent, ulong high, ulong low)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        FpStatus status = Status(s);
        Num n = high == 0 ? default : Round.ToPrecision(false, exponent, high, low, Precision.Extended, ref status);
        PushChecked(s, op, Format.Pack80(n));
        return op + 1;
    }
}

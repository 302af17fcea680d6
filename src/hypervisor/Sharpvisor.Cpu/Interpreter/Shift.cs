// Shifts and rotates (Intel SDM Vol. 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD) as Alu operations: the second
// operand is the count. Flags that the manual leaves undefined follow the one-bit formulas.
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe class ShiftFlags
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Count<T>(ulong b)
        where T : unmanaged => (int)b & (sizeof(T) == 8 ? 63 : 31);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Top<T>(ulong v)
        where T : unmanaged => (v >> ((sizeof(T) * 8) - 1)) & 1;

    /// <summary>Carry and overflow are 0 or 1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Shift<T>(LazyFlags* f, ulong result, ulong carry, ulong overflow)
        where T : unmanaged
    {
        f->Result = Sized<T>.Sx(result);
        f->Delta = 0;
        f->Carries = (carry << 63) | ((carry ^ overflow) << 62);
    }

    /// <summary>Rotates change CF and OF only.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Rotate(LazyFlags* f, ulong carry, ulong overflow) =>
        f->Carries = (f->Carries & 8) | (carry << 63) | ((carry ^ overflow) << 62);
}

internal unsafe struct Shl : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        int count = ShiftFlags.Count<T>(b);
        if (count == 0)
        {
            return a;
        }

        ulong r = a << count;
        ulong carry = sizeof(T) == 8 ? (a >> (64 - count)) & 1 : (r >> (sizeof(T) * 8)) & 1;
        ShiftFlags.Shift<T>(f, r, carry, ShiftFlags.Top<T>(r) ^ carry);
        return r;
    }
}

internal unsafe struct Shr : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        int count = ShiftFlags.Count<T>(b);
        if (count == 0)
        {
            return a;
        }

        ulong r = a >> count;
        ShiftFlags.Shift<T>(f, r, (a >> (count - 1)) & 1, ShiftFlags.Top<T>(a));
        return r;
    }
}

internal unsafe struct Sar : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        int count = ShiftFlags.Count<T>(b);
        if (count == 0)
        {
            return a;
        }

        long v = (long)Sized<T>.Sx(a);
        ulong r = (ulong)(v >> count);
        ShiftFlags.Shift<T>(f, r, (ulong)(v >> (count - 1)) & 1, 0);
        return r;
    }
}

internal unsafe struct Rol : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        int masked = ShiftFlags.Count<T>(b);
        if (masked == 0)
        {
            return a;
        }

        int count = masked & ((sizeof(T) * 8) - 1);
        ulong r = count == 0 ? a : Sized<T>.Zx((a << count) | (a >> ((sizeof(T) * 8) - count)));
        ShiftFlags.Rotate(f, r & 1, ShiftFlags.Top<T>(r) ^ (r & 1));
        return r;
    }
}

internal unsafe struct Ror : IAlu
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        int masked = ShiftFlags.Count<T>(b);
        if (masked == 0)
        {
            return a;
        }

        int count = masked & ((sizeof(T) * 8) - 1);
        ulong r = count == 0 ? a : Sized<T>.Zx((a >> count) | (a << ((sizeof(T) * 8) - count)));
        ShiftFlags.Rotate(f, ShiftFlags.Top<T>(r), ShiftFlags.Top<T>(r) ^ ShiftFlags.Top<T>(r << 1));
        return r;
    }
}

internal unsafe struct Rcl : IAlu
{
    public static bool Writes => true;

    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        int bits = sizeof(T) * 8;
        int count = ShiftFlags.Count<T>(b) % (bits + 1);
        if (count == 0)
        {
            return a;
        }

        ulong oldCarry = f->Carries >> 63;
        ulong carry = (a >> (bits - count)) & 1;
        ulong r = Sized<T>.Zx((count == 64 ? 0 : a << count) | (oldCarry << (count - 1)) | (count == 1 ? 0 : a >> (bits + 1 - count)));
        ShiftFlags.Rotate(f, carry, ShiftFlags.Top<T>(r) ^ carry);
        return r;
    }
}

internal unsafe struct Rcr : IAlu
{
    public static bool Writes => true;

    public static ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged
    {
        int bits = sizeof(T) * 8;
        int count = ShiftFlags.Count<T>(b) % (bits + 1);
        if (count == 0)
        {
            return a;
        }

        ulong oldCarry = f->Carries >> 63;
        ulong carry = (a >> (count - 1)) & 1;
        ulong r = Sized<T>.Zx((a >> count) | (oldCarry << (bits - count)) | (count == 1 ? 0 : a << (bits + 1 - count)));
        ShiftFlags.Rotate(f, carry, ShiftFlags.Top<T>(r) ^ ShiftFlags.Top<T>(r << 1));
        return r;
    }
}

/// <summary>SHLD and SHRD: Src is filled in; the count is the immediate or CL.</summary>
internal static unsafe class DoubleShift<T>
    where T : unmanaged
{
    public static Op* ShldImm(VpState* s, Op* op) => Run(s, op, (ulong)op->Immediate, left: true);

    public static Op* ShldCl(VpState* s, Op* op) => Run(s, op, s->Gpr[1], left: true);

    public static Op* ShrdImm(VpState* s, Op* op) => Run(s, op, (ulong)op->Immediate, left: false);

    public static Op* ShrdCl(VpState* s, Op* op) => Run(s, op, s->Gpr[1], left: false);

    private static Op* Run(VpState* s, Op* op, ulong rawCount, bool left)
    {
        ulong fill = Sized<T>.Get(s, op->Src);
        if ((op->Flags & OpFlags.Memory) == 0)
        {
            Sized<T>.Set(s, op->Dst, Compute(s, Sized<T>.Get(s, op->Dst), fill, rawCount, left));
            return op + 1;
        }

        if (!Operand.Address(s, op, out ulong linear, (uint)sizeof(T), write: true)
            || !Sized<T>.LoadForWrite(s, linear, out ulong a))
        {
            return null;
        }

        _ = Sized<T>.Store(s, linear, Compute(s, a, fill, rawCount, left));
        return op + 1;
    }

    private static ulong Compute(VpState* s, ulong a, ulong fill, ulong rawCount, bool left)
    {
        int bits = sizeof(T) * 8;
        int count = ShiftFlags.Count<T>(rawCount);
        if (count == 0)
        {
            return a;
        }

        ulong r;
        ulong carry;
        if (count > bits)
        {
            // 16-bit operands and counts of 17..31: undefined; as if dst:src:dst were shifted, which is what Intel does.
            count -= bits;
            (a, fill) = (fill, a);
        }

        if (left)
        {
            carry = (a >> (bits - count)) & 1;
            r = Sized<T>.Zx((a << count) | (fill >> (bits - count)));
            if (count == bits)
            {
                r = fill;
            }
        }
        else
        {
            carry = (a >> (count - 1)) & 1;
            r = Sized<T>.Zx((a >> count) | (fill << (bits - count)));
            if (count == bits)
            {
                r = fill;
            }
        }

        ShiftFlags.Shift<T>(Flags.Lazy(s), r, carry, ShiftFlags.Top<T>(a) ^ ShiftFlags.Top<T>(r));
        return r;
    }
}

// Bit instructions: BT BTS BTR BTC BSF BSR TZCNT LZCNT POPCNT, BMI1, BMI2, ADX, CRC32 (Intel SDM Vol. 2).
using System.Numerics;
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.Interpreter;

/// <summary>What BT's family does to the selected bit.</summary>
internal interface IBitChange
{
    static abstract bool Writes { get; }

    static abstract ulong Change(ulong value, ulong bit);
}

internal struct BitKeep : IBitChange
{
    public static bool Writes => false;

    public static ulong Change(ulong value, ulong bit) => value;
}

internal struct BitSet : IBitChange
{
    public static bool Writes => true;

    public static ulong Change(ulong value, ulong bit) => value | bit;
}

internal struct BitReset : IBitChange
{
    public static bool Writes => true;

    public static ulong Change(ulong value, ulong bit) => value & ~bit;
}

internal struct BitComplement : IBitChange
{
    public static bool Writes => true;

    public static ulong Change(ulong value, ulong bit) => value ^ bit;
}

internal static unsafe class BitTest<T, TChange>
    where T : unmanaged
    where TChange : struct, IBitChange
{
    public static Op* RegReg(VpState* s, Op* op) => Register(s, op, Sized<T>.Get(s, op->Src));

    public static Op* RegImm(VpState* s, Op* op) => Register(s, op, (ulong)op->Immediate);

    public static Op* MemImm(VpState* s, Op* op) =>
        Operand.Address(s, op, out ulong linear, (uint)sizeof(T), TChange.Writes)
            ? Memory(s, op, linear, (ulong)op->Immediate)
            : null;

    /// <summary>A bit offset in a register reaches beyond the operand: it is signed and moves the address.</summary>
    public static Op* MemReg(VpState* s, Op* op)
    {
        ulong bit = Sized<T>.Get(s, op->Src);
        long units = (long)Sized<T>.Sx(bit) >> int.Log2(sizeof(T) * 8);
        ulong offset = Operand.Effective(s, op) + (ulong)(units * sizeof(T));
        offset = op->AddressBytes == 8 ? offset : op->AddressBytes == 4 ? (uint)offset : (ushort)offset;
        return Operand.Linear(s, op, (Segment)op->Segment, offset, (uint)sizeof(T), TChange.Writes, out ulong linear)
            ? Memory(s, op, linear, bit)
            : null;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Op* Register(VpState* s, Op* op, ulong offset)
    {
        ulong bit = 1UL << ((int)offset & ((sizeof(T) * 8) - 1));
        ulong value = Sized<T>.Get(s, op->Dst);
        Flags.SetCarry(s, (value & bit) != 0);
        if (TChange.Writes)
        {
            Sized<T>.Set(s, op->Dst, TChange.Change(value, bit));
        }

        return op + 1;
    }

    private static Op* Memory(VpState* s, Op* op, ulong linear, ulong offset)
    {
        ulong bit = 1UL << ((int)offset & ((sizeof(T) * 8) - 1));
        ulong value;
        if (!TChange.Writes)
        {
            if (!Sized<T>.Load(s, linear, out value))
            {
                return null;
            }
        }
        else if ((op->Flags & OpFlags.Lock) != 0)
        {
            if (!LockedChange(s, linear, bit, out value))
            {
                return null;
            }
        }
        else
        {
            if (!Sized<T>.LoadForWrite(s, linear, out value))
            {
                return null;
            }

            _ = Sized<T>.Store(s, linear, TChange.Change(value, bit));
        }

        Flags.SetCarry(s, (value & bit) != 0);
        return op + 1;
    }

    /// <returns>False: a fault was raised.</returns>
    private static bool LockedChange(VpState* s, ulong linear, ulong bit, out ulong value)
    {
        T* host = GuestAccess.Atomic<T>(s, linear, out bool faulted);
        value = 0;
        if (host != null)
        {
            do
            {
                value = Sized<T>.Widen(*host);
            }
            while (!Sized<T>.Exchange(host, value, TChange.Change(value, bit)));
            return true;
        }

        if (faulted)
        {
            return false;
        }

        lock (GuestAccess.SplitLock)
        {
            return Sized<T>.LoadForWrite(s, linear, out value) && Sized<T>.Store(s, linear, TChange.Change(value, bit));
        }
    }
}

internal static unsafe class BitScan<T>
    where T : unmanaged
{
    /// <summary>With a zero source the destination stays, as on every processor although only AMD promises it.</summary>
    public static Op* Bsf(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong value))
        {
            return null;
        }

        Flags.SetZero(s, value == 0);
        if (value != 0)
        {
            Sized<T>.Set(s, op->Dst, (ulong)BitOperations.TrailingZeroCount(value));
        }

        return op + 1;
    }

    public static Op* Bsr(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong value))
        {
            return null;
        }

        Flags.SetZero(s, value == 0);
        if (value != 0)
        {
            Sized<T>.Set(s, op->Dst, (ulong)BitOperations.Log2(value));
        }

        return op + 1;
    }

    public static Op* Tzcnt(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong value))
        {
            return null;
        }

        ulong count = value == 0 ? (ulong)(sizeof(T) * 8) : (ulong)BitOperations.TrailingZeroCount(value);
        Sized<T>.Set(s, op->Dst, count);
        Flags.SetResult(s, count, value == 0, false);
        return op + 1;
    }

    public static Op* Lzcnt(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong value))
        {
            return null;
        }

        ulong count = (ulong)(BitOperations.LeadingZeroCount(value) - (64 - (sizeof(T) * 8)));
        Sized<T>.Set(s, op->Dst, count);
        Flags.SetResult(s, count, value == 0, false);
        return op + 1;
    }

    public static Op* Popcnt(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong value))
        {
            return null;
        }

        Sized<T>.Set(s, op->Dst, (ulong)BitOperations.PopCount(value));
        Flags.WriteArithmetic(s, value == 0 ? Flags.ZF : 0);
        return op + 1;
    }

    /// <summary>CRC32 r, r/m: T is the source's size.</summary>
    public static Op* Crc32(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong value))
        {
            return null;
        }

        uint crc = (uint)s->Gpr[op->Dst];
        s->Gpr[op->Dst] = sizeof(T) switch
        {
            1 => BitOperations.Crc32C(crc, (byte)value),
            2 => BitOperations.Crc32C(crc, (ushort)value),
            4 => BitOperations.Crc32C(crc, (uint)value),
            _ => BitOperations.Crc32C(crc, value),
        };
        return op + 1;
    }
}

/// <summary>BMI1, BMI2 and ADX.</summary>
internal static unsafe class Bmi<T>
    where T : unmanaged
{
    public static Op* Andn(VpState* s, Op* op)
    {
        if (!Third(s, op, out ulong b))
        {
            return null;
        }

        ulong r = ~Sized<T>.Get(s, op->Src) & b;
        Sized<T>.Set(s, op->Dst, r);
        Flags.SetResult(s, Sized<T>.Sx(r), false, false);
        return op + 1;
    }

    public static Op* Blsr(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong v))
        {
            return null;
        }

        ulong r = v & (v - 1);
        Sized<T>.Set(s, op->Dst, r);
        Flags.SetResult(s, Sized<T>.Sx(r), v == 0, false);
        return op + 1;
    }

    public static Op* Blsmsk(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong v))
        {
            return null;
        }

        ulong r = Sized<T>.Zx(v ^ (v - 1));
        Sized<T>.Set(s, op->Dst, r);
        Flags.SetResult(s, Sized<T>.Sx(r), v == 0, false);
        return op + 1;
    }

    public static Op* Blsi(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong v))
        {
            return null;
        }

        ulong r = Sized<T>.Zx(v & (0 - v));
        Sized<T>.Set(s, op->Dst, r);
        Flags.SetResult(s, Sized<T>.Sx(r), v != 0, false);
        return op + 1;
    }

    public static Op* Bextr(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong v))
        {
            return null;
        }

        int start = (byte)s->Gpr[op->Src2];
        int length = (byte)(s->Gpr[op->Src2] >> 8);
        ulong r = start >= 64 ? 0 : v >> start;
        r = length >= 64 ? r : r & ((1UL << length) - 1);
        Sized<T>.Set(s, op->Dst, r);
        Flags.SetResult(s, r == 0 ? 0UL : 1UL, false, false);
        return op + 1;
    }

    public static Op* Bzhi(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong v))
        {
            return null;
        }

        int n = (byte)s->Gpr[op->Src2];
        bool all = n >= sizeof(T) * 8;
        ulong r = all ? v : v & ((1UL << n) - 1);
        Sized<T>.Set(s, op->Dst, r);
        Flags.SetResult(s, Sized<T>.Sx(r), all, false);
        return op + 1;
    }

    public static Op* Pdep(VpState* s, Op* op)
    {
        if (!Third(s, op, out ulong mask))
        {
            return null;
        }

        ulong source = Sized<T>.Get(s, op->Src);
        ulong r = 0;
        for (; mask != 0; mask &= mask - 1, source >>= 1)
        {
            r |= (source & 1) != 0 ? mask & (0 - mask) : 0;
        }

        Sized<T>.Set(s, op->Dst, r);
        return op + 1;
    }

    public static Op* Pext(VpState* s, Op* op)
    {
        if (!Third(s, op, out ulong mask))
        {
            return null;
        }

        ulong source = Sized<T>.Get(s, op->Src);
        ulong r = 0;
        for (int i = 0; mask != 0; mask &= mask - 1, i++)
        {
            r |= (source & mask & (0 - mask)) != 0 ? 1UL << i : 0;
        }

        Sized<T>.Set(s, op->Dst, r);
        return op + 1;
    }

    public static Op* Mulx(VpState* s, Op* op)
    {
        if (!Third(s, op, out ulong b))
        {
            return null;
        }

        ulong low;
        ulong high;
        if (sizeof(T) == 8)
        {
            high = Math.BigMul(s->Gpr[2], b, out low);
        }
        else
        {
            low = Sized<T>.Get(s, 2) * b;
            high = low >> 32;
        }

        Sized<T>.Set(s, op->Src, low);
        Sized<T>.Set(s, op->Dst, high);
        return op + 1;
    }

    public static Op* Rorx(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong v))
        {
            return null;
        }

        int n = (int)op->Immediate;
        Sized<T>.Set(s, op->Dst, sizeof(T) == 8 ? BitOperations.RotateRight(v, n) : BitOperations.RotateRight((uint)v, n));
        return op + 1;
    }

    public static Op* Shlx(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong v))
        {
            return null;
        }

        Sized<T>.Set(s, op->Dst, v << ShiftFlags.Count<T>(s->Gpr[op->Src2]));
        return op + 1;
    }

    public static Op* Shrx(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong v))
        {
            return null;
        }

        Sized<T>.Set(s, op->Dst, v >> ShiftFlags.Count<T>(s->Gpr[op->Src2]));
        return op + 1;
    }

    public static Op* Sarx(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong v))
        {
            return null;
        }

        Sized<T>.Set(s, op->Dst, (ulong)((long)Sized<T>.Sx(v) >> ShiftFlags.Count<T>(s->Gpr[op->Src2])));
        return op + 1;
    }

    public static Op* Adcx(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong b))
        {
            return null;
        }

        ulong a = Sized<T>.Get(s, op->Dst);
        ulong r = a + b + (Flags.Carry(s) ? 1UL : 0);
        Sized<T>.Set(s, op->Dst, r);
        Flags.SetCarry(s, Sized<T>.Negative((a & b) | ((a | b) & ~r)));
        return op + 1;
    }

    public static Op* Adox(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong b))
        {
            return null;
        }

        ulong a = Sized<T>.Get(s, op->Dst);
        ulong r = a + b + (Flags.Overflow(s) ? 1UL : 0);
        Sized<T>.Set(s, op->Dst, r);
        Flags.SetCarryOverflow(s, Flags.Carry(s), Sized<T>.Negative((a & b) | ((a | b) & ~r)));
        return op + 1;
    }

    private static bool Third(VpState* s, Op* op, out ulong value)
    {
        if ((op->Flags & OpFlags.Memory) != 0)
        {
            return Sized<T>.LoadMemory(s, op, out value);
        }

        value = Sized<T>.Get(s, op->Src2);
        return true;
    }
}

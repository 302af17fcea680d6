// Two-operand arithmetic and logic: ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT (Intel SDM Vol. 2).
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.Interpreter;

/// <summary>An operation on zero-extended values; sets the lazy flags and returns the result (upper bits undefined).</summary>
internal unsafe interface IAlu
{
    /// <summary>False: only the flags are wanted (CMP, TEST).</summary>
    static abstract bool Writes { get; }

    static abstract ulong Run<T>(LazyFlags* f, ulong a, ulong b)
        where T : unmanaged;
}

/// <summary>Operand forms of an operation.</summary>
internal static unsafe class Alu<TOperation, T>
    where TOperation : struct, IAlu
    where T : unmanaged
{
    public static Op* RegReg(VpState* s, Op* op)
    {
        ulong r = TOperation.Run<T>(Flags.Lazy(s), Sized<T>.GetDst(s, op), Sized<T>.GetSrc(s, op));
        if (TOperation.Writes)
        {
            Sized<T>.SetDst(s, op, r);
        }

        return op + 1;
    }

    public static Op* RegImm(VpState* s, Op* op)
    {
        ulong r = TOperation.Run<T>(Flags.Lazy(s), Sized<T>.GetDst(s, op), Sized<T>.Zx((ulong)op->Immediate));
        if (TOperation.Writes)
        {
            Sized<T>.SetDst(s, op, r);
        }

        return op + 1;
    }

    public static Op* RegMem(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadMemory(s, op, out ulong b))
        {
            return null;
        }

        ulong r = TOperation.Run<T>(Flags.Lazy(s), Sized<T>.GetDst(s, op), b);
        if (TOperation.Writes)
        {
            Sized<T>.SetDst(s, op, r);
        }

        return op + 1;
    }

    public static Op* MemReg(VpState* s, Op* op) => Memory(s, op, Sized<T>.GetSrc(s, op));

    public static Op* MemImm(VpState* s, Op* op) => Memory(s, op, Sized<T>.Zx((ulong)op->Immediate));

    /// <summary>INC, DEC, NEG, NOT: the second operand is not used.</summary>
    public static Op* Reg(VpState* s, Op* op)
    {
        Sized<T>.SetDst(s, op, TOperation.Run<T>(Flags.Lazy(s), Sized<T>.GetDst(s, op), 0));
        return op + 1;
    }

    public static Op* Mem(VpState* s, Op* op) => Memory(s, op, 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Op* Memory(VpState* s, Op* op, ulong b)
    {
        if (!Operand.Address(s, op, out ulong linear, (uint)sizeof(T), TOperation.Writes))
        {
            return null;
        }

        if (!TOperation.Writes)
        {
            if (!Sized<T>.Load(s, linear, out ulong value))
            {
                return null;
            }

            _ = TOperation.Run<T>(Flags.Lazy(s), value, b);
            return op + 1;
        }

        if ((op->Flags & OpFlags.Lock) != 0)
        {
            return Locked(s, op, linear, b);
        }

        if (!Sized<T>.LoadForWrite(s, linear, out ulong a))
        {
            return null;
        }

        // LoadForWrite checked the permission: this cannot fault.
        _ = Sized<T>.Store(s, linear, TOperation.Run<T>(Flags.Lazy(s), a, b));
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Op* Locked(VpState* s, Op* op, ulong linear, ulong b)
    {
        LazyFlags* f = Flags.Lazy(s);
        LazyFlags before = *f;
        T* host = GuestAccess.Atomic<T>(s, linear, out bool faulted);
        if (host != null)
        {
            while (true)
            {
                ulong a = Sized<T>.Widen(*host);
                *f = before;
                ulong r = TOperation.Run<T>(f, a, b);
                if (Sized<T>.Exchange(host, a, r))
                {
                    return op + 1;
                }
            }
        }

        if (faulted)
        {
            return null;
        }

        lock (GuestAccess.SplitLock)
        {
            if (!Sized<T>.LoadForWrite(s, linear, out ulong a))
            {
                return null;
            }

            _ = Sized<T>.Store(s, linear, TOperation.Run<T>(f, a, b));
            return op + 1;
        }
    }
}

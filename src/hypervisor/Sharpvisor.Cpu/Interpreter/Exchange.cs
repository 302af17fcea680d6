// XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B (Intel SDM Vol. 2). Atomic on plain memory even without LOCK: nobody can tell.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe class Exchange<T>
    where T : unmanaged
{
    public static Op* Xadd(VpState* s, Op* op)
    {
        ulong b = Sized<T>.GetSrc(s, op);
        if ((op->Flags & OpFlags.Memory) == 0)
        {
            ulong value = Sized<T>.GetDst(s, op);
            ulong sum = Add.Run<T>(Flags.Lazy(s), value, b);
            Sized<T>.SetSrc(s, op, value);
            Sized<T>.SetDst(s, op, sum);
            return op + 1;
        }

        if (!Operand.Address(s, op, out ulong linear, (uint)sizeof(T), write: true))
        {
            return null;
        }

        ulong a;
        T* host = GuestAccess.Atomic<T>(s, linear, out bool faulted);
        if (host != null)
        {
            do
            {
                a = Sized<T>.Widen(*host);
            }
            while (!Sized<T>.Exchange(host, a, a + b));
        }
        else if (faulted)
        {
            return null;
        }
        else
        {
            lock (GuestAccess.SplitLock)
            {
                if (!Sized<T>.LoadForWrite(s, linear, out a))
                {
                    return null;
                }

                _ = Sized<T>.Store(s, linear, a + b);
            }
        }

        _ = Add.Run<T>(Flags.Lazy(s), a, b);
        Sized<T>.SetSrc(s, op, a);
        return op + 1;
    }

    public static Op* Cmpxchg(VpState* s, Op* op)
    {
        ulong desired = Sized<T>.GetSrc(s, op);
        ulong accumulator = Sized<T>.Get(s, 0);
        ulong old;
        if ((op->Flags & OpFlags.Memory) == 0)
        {
            old = Sized<T>.GetDst(s, op);
            Sized<T>.SetDst(s, op, old == accumulator ? desired : old);
        }
        else if (!CompareMemory(s, op, accumulator, desired, out old))
        {
            return null;
        }

        _ = Sub.Run<T>(Flags.Lazy(s), accumulator, old);
        if (old != accumulator)
        {
            Sized<T>.Set(s, 0, old);
        }

        return op + 1;
    }

    private static bool CompareMemory(VpState* s, Op* op, ulong expected, ulong desired, out ulong old)
    {
        old = 0;
        if (!Operand.Address(s, op, out ulong linear, (uint)sizeof(T), write: true))
        {
            return false;
        }

        T* host = GuestAccess.Atomic<T>(s, linear, out bool faulted);
        if (host != null)
        {
            do
            {
                old = Sized<T>.Widen(*host);
            }
            while (old == expected && !Sized<T>.Exchange(host, old, desired));
            return true;
        }

        if (faulted)
        {
            return false;
        }

        lock (GuestAccess.SplitLock)
        {
            // Written back unchanged when different, as the manual says: devices see a write either way.
            return Sized<T>.LoadForWrite(s, linear, out old)
                && Sized<T>.Store(s, linear, old == expected ? desired : old);
        }
    }
}

internal static unsafe class ExchangeWide
{
    public static Op* Cmpxchg8b(VpState* s, Op* op)
    {
        if (!Operand.Address(s, op, out ulong linear, 8, write: true))
        {
            return null;
        }

        ulong expected = (uint)s->Gpr[0] | (s->Gpr[2] << 32);
        ulong desired = (uint)s->Gpr[3] | (s->Gpr[1] << 32);
        ulong old;
        ulong* host = GuestAccess.Atomic<ulong>(s, linear, out bool faulted);
        if (host != null)
        {
            old = Interlocked.CompareExchange(ref *host, desired, expected);
        }
        else if (faulted)
        {
            return null;
        }
        else
        {
            lock (GuestAccess.SplitLock)
            {
                if (!GuestAccess.LoadForWrite(s, linear, out old))
                {
                    return null;
                }

                _ = GuestAccess.Store(s, linear, old == expected ? desired : old);
            }
        }

        Flags.SetZero(s, old == expected);
        if (old != expected)
        {
            s->Gpr[0] = (uint)old;
            s->Gpr[2] = old >> 32;
        }

        return op + 1;
    }

    public static Op* Cmpxchg16b(VpState* s, Op* op)
    {
        if (!Operand.Address(s, op, out ulong linear, 16, write: true))
        {
            return null;
        }

        if ((linear & 15) != 0)
        {
            return Faults.GeneralProtection(s, op);
        }

        ulong* values = stackalloc ulong[4];
        values[0] = s->Gpr[0];
        values[1] = s->Gpr[2];
        values[2] = s->Gpr[3];
        values[3] = s->Gpr[1];
        bool equal;
        Int128* host = GuestAccess.Atomic<Int128>(s, linear, out bool faulted);
        if (host != null)
        {
            equal = HostCompareExchange128.Run((ulong*)host, values, values + 2);
        }
        else if (faulted)
        {
            return null;
        }
        else
        {
            lock (GuestAccess.SplitLock)
            {
                if (!GuestAccess.LoadForWrite(s, linear, out Pair old))
                {
                    return null;
                }

                equal = old.Low == values[0] && old.High == values[1];
                values[0] = old.Low;
                values[1] = old.High;
                _ = GuestAccess.Store(s, linear, equal ? new Pair { Low = values[2], High = values[3] } : old);
            }
        }

        Flags.SetZero(s, equal);
        if (!equal)
        {
            s->Gpr[0] = values[0];
            s->Gpr[2] = values[1];
        }

        return op + 1;
    }

    private struct Pair
    {
        public ulong Low;
        public ulong High;
    }
}

// Data movement: MOV MOVZX MOVSX XCHG LEA PUSH POP PUSHA POPA ENTER LEAVE CMOV SETCC BSWAP MOVBE XLAT CBW CWD LAHF SAHF.
using System.Buffers.Binary;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe class Move<T>
    where T : unmanaged
{
    public static Op* RegReg(VpState* s, Op* op)
    {
        Sized<T>.SetDst(s, op, Sized<T>.GetSrc(s, op));
        return op + 1;
    }

    public static Op* RegImm(VpState* s, Op* op)
    {
        Sized<T>.SetDst(s, op, (ulong)op->Immediate);
        return op + 1;
    }

    public static Op* Load(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadMemory(s, op, out ulong value))
        {
            return null;
        }

        Sized<T>.SetDst(s, op, value);
        return op + 1;
    }

    public static Op* Store(VpState* s, Op* op) =>
        Operand.Address(s, op, out ulong linear, (uint)sizeof(T), write: true)
        && Sized<T>.Store(s, linear, Sized<T>.GetSrc(s, op)) ? op + 1 : null;

    public static Op* StoreImm(VpState* s, Op* op) =>
        Operand.Address(s, op, out ulong linear, (uint)sizeof(T), write: true)
        && Sized<T>.Store(s, linear, (ulong)op->Immediate) ? op + 1 : null;

    public static Op* Lea(VpState* s, Op* op)
    {
        Sized<T>.Set(s, op->Dst, Operand.Effective(s, op));
        return op + 1;
    }

    public static Op* XchgReg(VpState* s, Op* op)
    {
        ulong a = Sized<T>.GetDst(s, op);
        ulong b = Sized<T>.GetSrc(s, op);
        Sized<T>.SetDst(s, op, b);
        Sized<T>.SetSrc(s, op, a);
        return op + 1;
    }

    /// <summary>XCHG with memory is locked with or without the prefix.</summary>
    public static Op* XchgMem(VpState* s, Op* op)
    {
        if (!Operand.Address(s, op, out ulong linear, (uint)sizeof(T), write: true))
        {
            return null;
        }

        ulong value = Sized<T>.GetSrc(s, op);
        T* host = GuestAccess.Atomic<T>(s, linear, out bool faulted);
        ulong old;
        if (host != null)
        {
            do
            {
                old = Sized<T>.Widen(*host);
            }
            while (!Sized<T>.Exchange(host, old, value));
        }
        else if (faulted)
        {
            return null;
        }
        else
        {
            lock (GuestAccess.SplitLock)
            {
                if (!Sized<T>.LoadForWrite(s, linear, out old))
                {
                    return null;
                }

                _ = Sized<T>.Store(s, linear, value);
            }
        }

        Sized<T>.SetSrc(s, op, old);
        return op + 1;
    }

    public static Op* PushReg(VpState* s, Op* op) => Stack.Push<T>(s, op, s->Gpr[op->Dst]) ? op + 1 : null;

    public static Op* PushImm(VpState* s, Op* op) => Stack.Push<T>(s, op, (ulong)op->Immediate) ? op + 1 : null;

    public static Op* PushMem(VpState* s, Op* op) =>
        Sized<T>.LoadMemory(s, op, out ulong value) && Stack.Push<T>(s, op, value) ? op + 1 : null;

    public static Op* PopReg(VpState* s, Op* op)
    {
        if (!Stack.Top<T>(s, op, 0, out ulong value))
        {
            return null;
        }

        Stack.Release(s, op, (ulong)sizeof(T));
        Sized<T>.Set(s, op->Dst, value);
        return op + 1;
    }

    /// <summary>An address that uses RSP uses it after the increment (Intel SDM Vol. 2B, POP).</summary>
    public static Op* PopMem(VpState* s, Op* op)
    {
        if (!Stack.Top<T>(s, op, 0, out ulong value))
        {
            return null;
        }

        ulong rsp = s->Gpr[4];
        Stack.Release(s, op, (ulong)sizeof(T));
        if (Operand.Address(s, op, out ulong linear, (uint)sizeof(T), write: true) && Sized<T>.Store(s, linear, value))
        {
            return op + 1;
        }

        s->Gpr[4] = rsp;
        return null;
    }

    public static Op* Leave(VpState* s, Op* op)
    {
        ulong mask = Stack.Mask(s, op);
        ulong frame = s->Gpr[5] & mask;
        if (!Operand.Linear(s, op, Segment.Ss, frame, (uint)sizeof(T), false, out ulong linear)
            || !Sized<T>.Load(s, linear, out ulong value))
        {
            return null;
        }

        ulong rsp = (frame + (ulong)sizeof(T)) & mask;
        s->Gpr[4] = mask == ushort.MaxValue ? (s->Gpr[4] & ~mask) | rsp : rsp;
        Sized<T>.Set(s, 5, value);
        return op + 1;
    }

    /// <summary>ENTER (Intel SDM Vol. 2A); the final stack location is checked for writing, as the manual asks.</summary>
    public static Op* Enter(VpState* s, Op* op)
    {
        int level = op->Extra & 31;
        ulong size = (ulong)sizeof(T);
        ulong mask = Stack.Mask(s, op);
        if (!Stack.StoreBelow<T>(s, op, size, s->Gpr[5]))
        {
            return null;
        }

        ulong frame = (s->Gpr[4] - size) & mask;
        ulong below = size;
        for (int i = 1; i <= level; i++)
        {
            ulong value = frame;
            if (i < level
                && (!Operand.Linear(s, op, Segment.Ss, (s->Gpr[5] - (size * (ulong)i)) & mask, (uint)size, false, out ulong display)
                    || !Sized<T>.Load(s, display, out value)))
            {
                return null;
            }

            below += size;
            if (!Stack.StoreBelow<T>(s, op, below, value))
            {
                return null;
            }
        }

        ulong total = below + (ushort)op->Immediate;
        if (!Operand.Linear(s, op, Segment.Ss, (s->Gpr[4] - total) & mask, (uint)size, true, out ulong end)
            || !Sized<T>.LoadForWrite(s, end, out _))
        {
            return null;
        }

        Stack.Release(s, op, 0UL - total);
        Sized<T>.Set(s, 5, (s->Gpr[5] & ~mask) | frame);
        return op + 1;
    }

    public static Op* Pusha(VpState* s, Op* op)
    {
        for (int i = 0; i < 8; i++)
        {
            if (!Stack.StoreBelow<T>(s, op, (ulong)((i + 1) * sizeof(T)), s->Gpr[i]))
            {
                return null;
            }
        }

        Stack.Release(s, op, 0UL - (ulong)(8 * sizeof(T)));
        return op + 1;
    }

    public static Op* Popa(VpState* s, Op* op)
    {
        ulong* values = stackalloc ulong[8];
        for (int i = 0; i < 8; i++)
        {
            if (!Stack.Top<T>(s, op, (ulong)(i * sizeof(T)), out values[7 - i]))
            {
                return null;
            }
        }

        Stack.Release(s, op, (ulong)(8 * sizeof(T)));
        for (int i = 0; i < 8; i++)
        {
            if (i != 4)
            {
                Sized<T>.Set(s, i, values[i]);
            }
        }

        return op + 1;
    }

    public static Op* Movbe(VpState* s, Op* op)
    {
        if (!Sized<T>.LoadMemory(s, op, out ulong value))
        {
            return null;
        }

        Sized<T>.Set(s, op->Dst, Reverse(value));
        return op + 1;
    }

    public static Op* MovbeStore(VpState* s, Op* op) =>
        Operand.Address(s, op, out ulong linear, (uint)sizeof(T), write: true)
        && Sized<T>.Store(s, linear, Reverse(Sized<T>.Get(s, op->Src))) ? op + 1 : null;

    /// <summary>BSWAP; of a 16-bit register it gives zero on every known processor.</summary>
    public static Op* Bswap(VpState* s, Op* op)
    {
        Sized<T>.Set(s, op->Dst, sizeof(T) == 2 ? 0 : Reverse(Sized<T>.Get(s, op->Dst)));
        return op + 1;
    }

    /// <summary>CBW, CWDE, CDQE: T is the destination.</summary>
    public static Op* Cbw(VpState* s, Op* op)
    {
        ulong rax = s->Gpr[0];
        Sized<T>.Set(s, 0, sizeof(T) == 2 ? (ulong)(sbyte)rax : sizeof(T) == 4 ? (ulong)(short)rax : (ulong)(int)rax);
        return op + 1;
    }

    /// <summary>CWD, CDQ, CQO.</summary>
    public static Op* Cwd(VpState* s, Op* op)
    {
        Sized<T>.Set(s, 2, Sized<T>.Negative(s->Gpr[0]) ? ulong.MaxValue : 0);
        return op + 1;
    }

    private static ulong Reverse(ulong v) => BinaryPrimitives.ReverseEndianness(v) >> (64 - (sizeof(T) * 8));
}

/// <summary>MOVZX, MOVSX, MOVSXD.</summary>
internal static unsafe class Extend<TTo, TFrom>
    where TTo : unmanaged
    where TFrom : unmanaged
{
    public static Op* ZeroReg(VpState* s, Op* op)
    {
        Sized<TTo>.Set(s, op->Dst, Sized<TFrom>.GetSrc(s, op));
        return op + 1;
    }

    public static Op* ZeroMem(VpState* s, Op* op)
    {
        if (!Sized<TFrom>.LoadMemory(s, op, out ulong value))
        {
            return null;
        }

        Sized<TTo>.Set(s, op->Dst, value);
        return op + 1;
    }

    public static Op* SignReg(VpState* s, Op* op)
    {
        Sized<TTo>.Set(s, op->Dst, Sized<TFrom>.Sx(Sized<TFrom>.GetSrc(s, op)));
        return op + 1;
    }

    public static Op* SignMem(VpState* s, Op* op)
    {
        if (!Sized<TFrom>.LoadMemory(s, op, out ulong value))
        {
            return null;
        }

        Sized<TTo>.Set(s, op->Dst, Sized<TFrom>.Sx(value));
        return op + 1;
    }
}

/// <summary>SETcc and CMOVcc.</summary>
internal static unsafe class Conditional<TCondition>
    where TCondition : struct, ICondition
{
    public static Op* Set(VpState* s, Op* op)
    {
        ulong value = TCondition.Holds(s) ? 1UL : 0UL;
        if ((op->Flags & OpFlags.Memory) != 0)
        {
            return Operand.Address(s, op, out ulong linear, 1, write: true) && Sized<byte>.Store(s, linear, value) ? op + 1 : null;
        }

        Sized<byte>.SetDst(s, op, value);
        return op + 1;
    }

    /// <summary>The source is read whatever the condition, and a 32-bit destination is zero-extended even when nothing moves.</summary>
    public static Op* Move<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (!Sized<T>.LoadSecond(s, op, out ulong value))
        {
            return null;
        }

        Sized<T>.Set(s, op->Dst, TCondition.Holds(s) ? value : s->Gpr[op->Dst]);
        return op + 1;
    }
}

/// <summary>Data movement that comes in one size.</summary>
internal static unsafe class MoveMisc
{
    public static Op* Nop(VpState* s, Op* op) => op + 1;

    public static Op* Fence(VpState* s, Op* op)
    {
        // The host's plain loads and stores are ordered as the guest's are; only store-load order needs the instruction.
        Interlocked.MemoryBarrier();
        return op + 1;
    }

    /// <summary>CLFLUSH and kin: no caches are modelled, but the address is checked as for a load.</summary>
    public static Op* FlushLine(VpState* s, Op* op) => Sized<byte>.LoadMemory(s, op, out _) ? op + 1 : null;

    public static Op* Xlat(VpState* s, Op* op)
    {
        ulong offset = s->Gpr[3] + (byte)s->Gpr[0];
        offset = op->AddressBytes == 8 ? offset : op->AddressBytes == 4 ? (uint)offset : (ushort)offset;
        if (!Operand.Linear(s, op, (Segment)op->Segment, offset, 1, false, out ulong linear)
            || !Sized<byte>.Load(s, linear, out ulong value))
        {
            return null;
        }

        *(byte*)s->Gpr = (byte)value;
        return op + 1;
    }

    public static Op* Lahf(VpState* s, Op* op)
    {
        ((byte*)s->Gpr)[1] = (byte)(Flags.ReadArithmetic(s) | 2);
        return op + 1;
    }

    public static Op* Sahf(VpState* s, Op* op)
    {
        ulong kept = Flags.ReadArithmetic(s) & Flags.OF;
        Flags.WriteArithmetic(s, kept | ((byte*)s->Gpr)[1]);
        return op + 1;
    }

    public static Op* Salc(VpState* s, Op* op)
    {
        *(byte*)s->Gpr = Flags.Carry(s) ? (byte)0xFF : (byte)0;
        return op + 1;
    }

    public static Op* Cmc(VpState* s, Op* op)
    {
        Flags.SetCarry(s, !Flags.Carry(s));
        return op + 1;
    }

    public static Op* Clc(VpState* s, Op* op)
    {
        Flags.SetCarry(s, false);
        return op + 1;
    }

    public static Op* Stc(VpState* s, Op* op)
    {
        Flags.SetCarry(s, true);
        return op + 1;
    }

    public static Op* Cld(VpState* s, Op* op)
    {
        s->RFlags &= ~Flags.DF;
        return op + 1;
    }

    public static Op* Std(VpState* s, Op* op)
    {
        s->RFlags |= Flags.DF;
        return op + 1;
    }

    /// <summary>PUSHF; virtual-8086 mode needs IOPL 3. VM and RF are pushed as zero.</summary>
    public static Op* Pushf<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if ((s->RFlags & Flags.VM) != 0 && (s->RFlags & Flags.Iopl) != Flags.Iopl)
        {
            return Faults.GeneralProtection(s, op);
        }

        return Stack.Push<T>(s, op, Flags.Read(s) & ~(Flags.VM | Flags.RF)) ? op + 1 : null;
    }

    /// <summary>POPF (Intel SDM Vol. 2B): IOPL changes at CPL 0 only, IF when CPL is at most IOPL; VIF and VIP never.</summary>
    public static Op* Popf<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        ulong old = s->RFlags;
        uint iopl = (uint)(old & Flags.Iopl) >> 12;
        if ((old & Flags.VM) != 0 && iopl < 3)
        {
            return Faults.GeneralProtection(s, op);
        }

        if (!Stack.Top<T>(s, op, 0, out ulong value))
        {
            return null;
        }

        ulong change = Flags.Arithmetic | Flags.TF | Flags.DF | Flags.NT;
        change |= s->Cpl == 0 ? Flags.Iopl : 0;
        change |= s->Cpl <= iopl ? Flags.IF : 0;
        if (sizeof(T) != 2)
        {
            change |= Flags.AC | Flags.ID;
        }

        Stack.Release(s, op, (ulong)sizeof(T));
        ulong flags = (old & ~change & ~Flags.RF) | (value & change);
        Flags.Write(s, flags);

        // Most POPFs restore what was there; the others make interrupts, traps or SMAP's AC matter from the next instruction.
        const ulong watched = Flags.IF | Flags.TF | Flags.AC;
        if (((old ^ flags) & watched) == 0)
        {
            return op + 1;
        }

        Vp vp = Vp.Of(s);
        if (((old ^ flags) & Flags.AC) != 0)
        {
            vp.Mmu.UpdateContext();
        }

        bool runLoop = (flags & Flags.TF) != 0 || ((flags & Flags.IF) != 0 && vp.InterruptDeferred);
        if (!runLoop)
        {
            return op + 1;
        }

        s->Rip = Branch.Next(s, op);
        return null;
    }
}

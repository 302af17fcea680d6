// Pushes and pops in every stack size (Intel SDM Vol. 1, 6.2.3: 64-bit mode 8 bytes, else by SS.B).
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

/// <summary>Nothing changes when an access faults.</summary>
internal static unsafe class Stack
{
    /// <summary>What of RSP addresses the stack.</summary>
    public static ulong Mask(VpState* s, Op* op) =>
        (op->Flags & OpFlags.Long) != 0 ? ulong.MaxValue
        : (VpState.Seg(s, Segment.Ss)->Attributes & 0x400) != 0 ? uint.MaxValue
        : ushort.MaxValue;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Push<T>(VpState* s, Op* op, ulong value)
        where T : unmanaged
    {
        if ((op->Flags & OpFlags.Long) != 0)
        {
            ulong rsp = s->Gpr[4] - (ulong)sizeof(T);
            if (!Sized<T>.Store(s, rsp, value))
            {
                return Faults.StackAccess(s);
            }

            s->Gpr[4] = rsp;
            return true;
        }

        return PushLegacy<T>(s, op, value);
    }

    /// <summary>Writes below the stack pointer: <paramref name="below"/> bytes down, without moving it.</summary>
    public static bool StoreBelow<T>(VpState* s, Op* op, ulong below, ulong value)
        where T : unmanaged =>
        Operand.Linear(s, op, Segment.Ss, (s->Gpr[4] - below) & Mask(s, op), (uint)sizeof(T), true, out ulong linear)
        && Sized<T>.Store(s, linear, value);

    /// <summary>Reads <paramref name="above"/> bytes above the top, without moving it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Top<T>(VpState* s, Op* op, ulong above, out ulong value)
        where T : unmanaged
    {
        if ((op->Flags & OpFlags.Long) != 0)
        {
            return Sized<T>.Load(s, s->Gpr[4] + above, out value) || Faults.StackAccess(s);
        }

        return TopLegacy<T>(s, op, above, out value);
    }

    /// <summary>Adds to the stack pointer.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Release(VpState* s, Op* op, ulong bytes)
    {
        ulong mask = Mask(s, op);
        s->Gpr[4] = mask == ushort.MaxValue
            ? (s->Gpr[4] & ~mask) | ((s->Gpr[4] + bytes) & mask)
            : (s->Gpr[4] + bytes) & mask;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool PushLegacy<T>(VpState* s, Op* op, ulong value)
        where T : unmanaged
    {
        if (!StoreBelow<T>(s, op, (ulong)sizeof(T), value))
        {
            return false;
        }

        Release(s, op, 0UL - (ulong)sizeof(T));
        return true;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool TopLegacy<T>(VpState* s, Op* op, ulong above, out ulong value)
        where T : unmanaged
    {
        value = 0;
        return Operand.Linear(s, op, Segment.Ss, (s->Gpr[4] + above) & Mask(s, op), (uint)sizeof(T), false, out ulong linear)
            && Sized<T>.Load(s, linear, out value);
    }
}

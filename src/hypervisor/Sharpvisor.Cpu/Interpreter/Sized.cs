// Operands of one size as zero-extended 64-bit values: handlers are written once and specialised by T (byte, ushort, uint,
// ulong); every sizeof(T) test folds away when a handler is compiled.
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe class Sized<T>
    where T : unmanaged
{
    public static int Bits
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => sizeof(T) * 8;
    }

    public static ulong Mask
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ulong.MaxValue >> (64 - (sizeof(T) * 8));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Zx(ulong v) =>
        sizeof(T) == 1 ? (byte)v : sizeof(T) == 2 ? (ushort)v : sizeof(T) == 4 ? (uint)v : v;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Sx(ulong v) =>
        sizeof(T) == 1 ? (ulong)(sbyte)v : sizeof(T) == 2 ? (ulong)(short)v : sizeof(T) == 4 ? (ulong)(int)v : v;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Negative(ulong v) => ((v >> ((sizeof(T) * 8) - 1)) & 1) != 0;

    /// <summary>A register; for bytes the low one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(VpState* s, int register) => Zx(s->Gpr[register]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(VpState* s, int register, ulong value)
    {
        if (sizeof(T) == 8)
        {
            s->Gpr[register] = value;
        }
        else if (sizeof(T) == 4)
        {
            s->Gpr[register] = (uint)value;
        }
        else if (sizeof(T) == 2)
        {
            *(ushort*)(s->Gpr + register) = (ushort)value;
        }
        else
        {
            *(byte*)(s->Gpr + register) = (byte)value;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong GetDst(VpState* s, Op* op) =>
        sizeof(T) == 1 ? Operand.Read8(s, op->Dst, (op->Flags & OpFlags.HighDst) != 0) : Get(s, op->Dst);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetDst(VpState* s, Op* op, ulong value)
    {
        if (sizeof(T) == 1)
        {
            Operand.Write8(s, op->Dst, (op->Flags & OpFlags.HighDst) != 0, (byte)value);
        }
        else
        {
            Set(s, op->Dst, value);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong GetSrc(VpState* s, Op* op) =>
        sizeof(T) == 1 ? Operand.Read8(s, op->Src, (op->Flags & OpFlags.HighSrc) != 0) : Get(s, op->Src);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetSrc(VpState* s, Op* op, ulong value)
    {
        if (sizeof(T) == 1)
        {
            Operand.Write8(s, op->Src, (op->Flags & OpFlags.HighSrc) != 0, (byte)value);
        }
        else
        {
            Set(s, op->Src, value);
        }
    }

    /// <summary>Loads from a linear address.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Load(VpState* s, ulong linear, out ulong value)
    {
        bool ok = GuestAccess.Load(s, linear, out T raw);
        value = Widen(raw);
        return ok;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool LoadForWrite(VpState* s, ulong linear, out ulong value)
    {
        bool ok = GuestAccess.LoadForWrite(s, linear, out T raw);
        value = Widen(raw);
        return ok;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Store(VpState* s, ulong linear, ulong value) => GuestAccess.Store(s, linear, Narrow(value));

    /// <summary>Loads the op's memory operand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool LoadMemory(VpState* s, Op* op, out ulong value)
    {
        if (!Operand.Address(s, op, out ulong linear, (uint)sizeof(T), write: false))
        {
            value = 0;
            return false;
        }

        return Load(s, linear, out value);
    }

    /// <summary>The op's second operand, register or memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool LoadSecond(VpState* s, Op* op, out ulong value)
    {
        if ((op->Flags & OpFlags.Memory) != 0)
        {
            return LoadMemory(s, op, out value);
        }

        value = GetSrc(s, op);
        return true;
    }

    /// <summary>The op's first operand, register or memory, read only.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool LoadFirst(VpState* s, Op* op, out ulong value)
    {
        if ((op->Flags & OpFlags.Memory) != 0)
        {
            return LoadMemory(s, op, out value);
        }

        value = GetDst(s, op);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Widen(T raw) =>
        sizeof(T) == 1 ? Unsafe.BitCast<T, byte>(raw)
        : sizeof(T) == 2 ? Unsafe.BitCast<T, ushort>(raw)
        : sizeof(T) == 4 ? Unsafe.BitCast<T, uint>(raw)
        : Unsafe.BitCast<T, ulong>(raw);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Narrow(ulong value) => *(T*)&value;

    /// <summary>Compare-and-exchange on host memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Exchange(T* host, ulong expected, ulong desired) =>
        sizeof(T) == 1 ? Interlocked.CompareExchange(ref *(byte*)host, (byte)desired, (byte)expected) == (byte)expected
        : sizeof(T) == 2 ? Interlocked.CompareExchange(ref *(ushort*)host, (ushort)desired, (ushort)expected) == (ushort)expected
        : sizeof(T) == 4 ? Interlocked.CompareExchange(ref *(uint*)host, (uint)desired, (uint)expected) == (uint)expected
        : Interlocked.CompareExchange(ref *(ulong*)host, desired, expected) == expected;
}

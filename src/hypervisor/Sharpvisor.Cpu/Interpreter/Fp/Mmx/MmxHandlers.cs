// MMX: the 64-bit vectors that live in the significands of the x87 registers. Intel SDM Vol. 1, chapter 9; Vol. 3A, 13.2:
// every MMX instruction but EMMS sets TOP to 0 and all tags to valid, and a written register's exponent to all ones.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.Sse;
using Sharpvisor.Cpu.System;
using static Sharpvisor.Cpu.Interpreter.Fp.Sse.SseAccess;

namespace Sharpvisor.Cpu.Interpreter.Fp.Mmx;

/// <summary>The low half of f on the two operands put side by side: packs and horizontal sums.</summary>
internal readonly struct Joined<T> : IVectorBinary
    where T : struct, IVectorBinary
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b)
    {
        Vector128<byte> both = Vector128.Create(a.AsUInt64()[0], b.AsUInt64()[0]).AsByte();
        return T.Apply(both, both);
    }
}

/// <summary>The high half of f: PUNPCKHxx is the upper half of the 128-bit PUNPCKLxx.</summary>
internal readonly struct Upper<T> : IVectorBinary
    where T : struct, IVectorBinary
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b)
        => Vector128.CreateScalar(T.Apply(a, b).AsUInt64()[1]).AsByte();
}

/// <summary>PSHUFB on eight bytes: the index is three bits.</summary>
internal readonly struct PshufbMmx : IVectorBinary
{
    public static Vector128<byte> Apply(Vector128<byte> a, Vector128<byte> b)
        => Pshufb.Apply(a, b & Vector128.Create((byte)0x87));
}

internal static unsafe class MmxHandlers
{
    private const ushort ErrorSummary = 0x80;

    /// <summary>#UD for CR0.EM, #NM for CR0.TS, #MF for a pending x87 exception.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Unavailable(VpState* s)
        => ((s->Cr0 & (Cr0Em | Cr0Ts)) | (uint)(s->Fsw & ErrorSummary)) != 0;

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Op* Refuse(VpState* s, Op* op)
        => (s->Cr0 & Cr0Em) != 0 ? Faults.UndefinedOpcode(s, op)
            : (s->Cr0 & Cr0Ts) != 0 ? Faults.Raise(s, op, FpVector.DeviceNotAvailable)
            : Faults.Raise(s, op, FpVector.X87);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Read(VpState* s, int number) => *(ulong*)(s->X87 + ((number & 7) * 16));

    /// <summary>Enters MMX state.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Enter(VpState* s)
    {
        s->Ftw = 0xFF;
        s->Fsw = (ushort)(s->Fsw & ~0x3800);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(VpState* s, int number, ulong value)
    {
        Enter(s);
        byte* r = s->X87 + ((number & 7) * 16);
        *(ulong*)r = value;
        *(ushort*)(r + 8) = 0xFFFF;
    }

    /// <summary>mm or memory of sizeof(T) bytes, zero-extended.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Source<T>(VpState* s, Op* op, out Vector128<byte> value)
        where T : unmanaged
    {
        if (!IsMemory(op))
        {
            value = Vector128.CreateScalar(Read(s, op->Src)).AsByte();
            return true;
        }

        if (!Load(s, op, out T loaded))
        {
            value = default;
            return false;
        }

        value = Vector128.CreateScalar(loaded).AsByte();
        return true;
    }

    public static Op* Binary<T, TSource>(VpState* s, Op* op)
        where T : struct, IVectorBinary
        where TSource : unmanaged
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!Source<TSource>(s, op, out Vector128<byte> b))
        {
            return null;
        }

        Vector128<byte> a = Vector128.CreateScalar(Read(s, op->Dst)).AsByte();
        Write(s, op->Dst, T.Apply(a, b).AsUInt64()[0]);
        return op + 1;
    }

    public static Op* Immediate<T>(VpState* s, Op* op)
        where T : struct, IVectorImmediate
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!Source<ulong>(s, op, out Vector128<byte> b))
        {
            return null;
        }

        Vector128<byte> a = Vector128.CreateScalar(Read(s, op->Dst)).AsByte();
        Write(s, op->Dst, T.Apply(a, b, (byte)op->Immediate).AsUInt64()[0]);
        return op + 1;
    }

    public static Op* ShiftImmediate<T>(VpState* s, Op* op)
        where T : struct, IVectorBinary
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        Vector128<byte> a = Vector128.CreateScalar(Read(s, op->Dst)).AsByte();
        Write(s, op->Dst, T.Apply(a, Vector128.CreateScalar((ulong)(byte)op->Immediate).AsByte()).AsUInt64()[0]);
        return op + 1;
    }

    public static Op* ToGpr<T>(VpState* s, Op* op)
        where T : struct, IVectorToGpr
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        s->Gpr[op->Dst] = T.Apply(Vector128.CreateScalar(Read(s, op->Src)).AsByte(), (byte)op->Immediate);
        Enter(s);
        return op + 1;
    }

    /// <summary>MOVD/MOVQ mm, r/m.</summary>
    public static Op* FromGpr<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!SourceGpr(s, op, out T value))
        {
            return null;
        }

        Write(s, op->Dst, Vector128.CreateScalar(value).AsUInt64()[0]);
        return op + 1;
    }

    /// <summary>MOVD/MOVQ r/m, mm.</summary>
    public static Op* ToGprOrMemory<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        ulong value = Read(s, StoredRegister(op));
        T narrow = *(T*)&value;
        if (IsMemory(op))
        {
            if (!Store(s, op, narrow))
            {
                return null;
            }
        }
        else
        {
            ulong wide = 0;
            *(T*)&wide = narrow;
            s->Gpr[op->Dst] = wide;
        }

        Enter(s);
        return op + 1;
    }

    /// <summary>MOVQ mm, mm/m64.</summary>
    public static Op* LoadQuadword(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!Source<ulong>(s, op, out Vector128<byte> value))
        {
            return null;
        }

        Write(s, op->Dst, value.AsUInt64()[0]);
        return op + 1;
    }

    /// <summary>MOVQ mm/m64, mm and MOVNTQ.</summary>
    public static Op* StoreQuadword(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        ulong value = Read(s, StoredRegister(op));
        if (!IsMemory(op))
        {
            Write(s, op->Dst, value);
            return op + 1;
        }

        if (!Store(s, op, value))
        {
            return null;
        }

        Enter(s);
        return op + 1;
    }

    /// <summary>PINSRW mm, r32/m16, imm8.</summary>
    public static Op* InsertWord(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!SourceGpr(s, op, out ushort word))
        {
            return null;
        }

        int shift = ((int)op->Immediate & 3) * 16;
        Write(s, op->Dst, (Read(s, op->Dst) & ~(0xFFFFUL << shift)) | ((ulong)word << shift));
        return op + 1;
    }

    /// <summary>MASKMOVQ [rDI], mm, mm.</summary>
    public static Op* MaskedStore(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        ulong data = Read(s, op->Dst);
        ulong mask = Read(s, op->Src2);
        if (!SseMoves.StoreMasked(s, op, (byte*)&data, (byte*)&mask, 8))
        {
            return null;
        }

        Enter(s);
        return op + 1;
    }

    /// <summary>MOVQ2DQ xmm, mm.</summary>
    public static Op* ToXmm(VpState* s, Op* op)
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        *Xmm(s, op->Dst) = Vector128.CreateScalar(Read(s, op->Src)).AsByte();
        Enter(s);
        return op + 1;
    }

    /// <summary>MOVDQ2Q mm, xmm.</summary>
    public static Op* FromXmm(VpState* s, Op* op)
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        Write(s, op->Dst, *(ulong*)Xmm(s, op->Src));
        return op + 1;
    }

    public static Op* Emms(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        s->Ftw = 0;
        s->Fsw = (ushort)(s->Fsw & ~0x3800);
        return op + 1;
    }
}

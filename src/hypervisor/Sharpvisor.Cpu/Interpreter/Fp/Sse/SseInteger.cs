// Handlers of the SSE instructions that cannot raise SIMD exceptions: integer, logic, shuffle, AES, SHA.
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal static unsafe class SseInteger
{
    public static Op* Binary<T>(VpState* s, Op* op)
        where T : struct, IVectorBinary
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.Source(s, op, out Vector128<byte> b))
        {
            return null;
        }

        Vector128<byte>* d = SseAccess.Xmm(s, op->Dst);
        *d = T.Apply(*d, b);
        return op + 1;
    }

    /// <summary>As <see cref="Binary{T}"/>, with a narrower memory operand, which need not be aligned.</summary>
    public static Op* Narrow<T, TSource>(VpState* s, Op* op)
        where T : struct, IVectorBinary
        where TSource : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.SourceScalar<TSource>(s, op, out Vector128<byte> b))
        {
            return null;
        }

        Vector128<byte>* d = SseAccess.Xmm(s, op->Dst);
        *d = T.Apply(*d, b);
        return op + 1;
    }

    public static Op* Immediate<T>(VpState* s, Op* op)
        where T : struct, IVectorImmediate
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.Source(s, op, out Vector128<byte> b))
        {
            return null;
        }

        Vector128<byte>* d = SseAccess.Xmm(s, op->Dst);
        *d = T.Apply(*d, b, (byte)op->Immediate);
        return op + 1;
    }

    public static Op* NarrowImmediate<T, TSource>(VpState* s, Op* op)
        where T : struct, IVectorImmediate
        where TSource : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.SourceScalar<TSource>(s, op, out Vector128<byte> b))
        {
            return null;
        }

        Vector128<byte>* d = SseAccess.Xmm(s, op->Dst);
        *d = T.Apply(*d, b, (byte)op->Immediate);
        return op + 1;
    }

    /// <summary>PSLLW xmm, imm8 and its kin: the count is the immediate.</summary>
    public static Op* ShiftImmediate<T>(VpState* s, Op* op)
        where T : struct, IVectorBinary
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        Vector128<byte>* d = SseAccess.Xmm(s, op->Dst);
        *d = T.Apply(*d, Vector128.CreateScalar((ulong)(byte)op->Immediate).AsByte());
        return op + 1;
    }

    /// <summary>MOVMSKPS, PMOVMSKB, PEXTRW: result to a general register, zero-extended.</summary>
    public static Op* ToGpr<T>(VpState* s, Op* op)
        where T : struct, IVectorToGpr
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        s->Gpr[op->Dst] = T.Apply(*SseAccess.Xmm(s, op->Src), (byte)op->Immediate);
        return op + 1;
    }

    /// <summary>PINSRB/W/D/Q: the source is a general register or memory of sizeof(TElement) bytes.</summary>
    public static Op* Insert<TElement>(VpState* s, Op* op)
        where TElement : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.SourceGpr(s, op, out TElement value))
        {
            return null;
        }

        int index = (int)op->Immediate & ((16 / sizeof(TElement)) - 1);
        ((TElement*)SseAccess.Xmm(s, op->Dst))[index] = value;
        return op + 1;
    }

    /// <summary>PEXTRB/W/D/Q, EXTRACTPS to r/m.</summary>
    public static Op* Extract<TElement>(VpState* s, Op* op)
        where TElement : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        int index = (int)op->Immediate & ((16 / sizeof(TElement)) - 1);
        TElement value = ((TElement*)SseAccess.Xmm(s, SseAccess.StoredRegister(op)))[index];
        if (SseAccess.IsMemory(op))
        {
            return SseAccess.Store(s, op, value) ? op + 1 : null;
        }

        ulong wide = 0;
        *(TElement*)&wide = value;
        s->Gpr[op->Dst] = wide;
        return op + 1;
    }

    /// <summary>PBLENDVB, BLENDVPS, BLENDVPD: the mask is XMM0.</summary>
    public static Op* Blend<T>(VpState* s, Op* op)
        where T : struct, IVectorBlend
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.Source(s, op, out Vector128<byte> b))
        {
            return null;
        }

        Vector128<byte>* d = SseAccess.Xmm(s, op->Dst);
        *d = T.Apply(*d, b, *SseAccess.Xmm(s, 0));
        return op + 1;
    }

    /// <summary>PSLLDQ, PSRLDQ: one register and an immediate.</summary>
    public static Op* ByteShift<T>(VpState* s, Op* op)
        where T : struct, IVectorImmediate
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        Vector128<byte>* d = SseAccess.Xmm(s, op->Dst);
        *d = T.Apply(*d, default, (byte)op->Immediate);
        return op + 1;
    }

    /// <summary>INSERTPS: COUNT_S selects the source element of a register, and is ignored for memory.</summary>
    public static Op* InsertSingle(VpState* s, Op* op)
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.SourceScalar<uint>(s, op, out Vector128<byte> b))
        {
            return null;
        }

        byte immediate = (byte)op->Immediate;
        if (SseAccess.IsMemory(op))
        {
            immediate &= 0x3F;
        }

        Vector128<byte>* d = SseAccess.Xmm(s, op->Dst);
        *d = Insertps.Apply(*d, b, immediate);
        return op + 1;
    }

    /// <summary>PTEST: ZF and CF, the other arithmetic flags cleared.</summary>
    public static Op* Test(VpState* s, Op* op)
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.Source(s, op, out Vector128<byte> b))
        {
            return null;
        }

        Vector128<byte> a = *SseAccess.Xmm(s, op->Dst);
        ulong flags = (a & b) == Vector128<byte>.Zero ? 0x40UL : 0;
        flags |= Vector128.AndNot(b, a) == Vector128<byte>.Zero ? 1UL : 0;
        Flags.WriteArithmetic(s, flags);
        return op + 1;
    }
}

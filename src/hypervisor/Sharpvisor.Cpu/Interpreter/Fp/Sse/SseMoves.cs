// SSE data movement: Intel SDM Vol. 2, MOVAPS … MASKMOVDQU.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;
using static Sharpvisor.Cpu.Interpreter.Fp.Sse.SseAccess;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal static unsafe class SseMoves
{
    public static Op* LoadAligned16(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!Source(s, op, out Vector128<byte> value))
        {
            return null;
        }

        *Xmm(s, op->Dst) = value;
        return op + 1;
    }

    public static Op* LoadUnaligned16(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!SourceScalar16(s, op, out Vector128<byte> value))
        {
            return null;
        }

        *Xmm(s, op->Dst) = value;
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool SourceScalar16(VpState* s, Op* op, out Vector128<byte> value)
    {
        if (!IsMemory(op))
        {
            value = *Xmm(s, op->Src);
            return true;
        }

        return Load(s, op, out value);
    }

    public static Op* StoreAligned16(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (IsMemory(op))
        {
            return StoreAligned(s, op, *Xmm(s, StoredRegister(op))) ? op + 1 : null;
        }

        *Xmm(s, op->Dst) = *Xmm(s, op->Src);
        return op + 1;
    }

    public static Op* StoreUnaligned16(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (IsMemory(op))
        {
            return Store(s, op, *Xmm(s, StoredRegister(op))) ? op + 1 : null;
        }

        *Xmm(s, op->Dst) = *Xmm(s, op->Src);
        return op + 1;
    }

    /// <summary>MOVSS/MOVSD load: memory zero-extends, a register replaces only the low element.</summary>
    public static Op* LoadScalar<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!IsMemory(op))
        {
            *(T*)Xmm(s, op->Dst) = *(T*)Xmm(s, op->Src);
            return op + 1;
        }

        if (!Load(s, op, out T value))
        {
            return null;
        }

        *Xmm(s, op->Dst) = Vector128.CreateScalar(value).AsByte();
        return op + 1;
    }

    /// <summary>MOVSS/MOVSD store form, MOVLPS, MOVNTSS….</summary>
    public static Op* StoreScalar<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        T value = *(T*)Xmm(s, StoredRegister(op));
        if (IsMemory(op))
        {
            return Store(s, op, value) ? op + 1 : null;
        }

        *(T*)Xmm(s, op->Dst) = value;
        return op + 1;
    }

    /// <summary>MOVQ xmm/m64, xmm: a register destination is zero-extended.</summary>
    public static Op* StoreQuadword(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        ulong value = *(ulong*)Xmm(s, StoredRegister(op));
        if (IsMemory(op))
        {
            return Store(s, op, value) ? op + 1 : null;
        }

        *Xmm(s, op->Dst) = Vector128.CreateScalar(value).AsByte();
        return op + 1;
    }

    /// <summary>MOVQ xmm, xmm/m64.</summary>
    public static Op* LoadQuadword(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!SourceScalar<ulong>(s, op, out Vector128<byte> value))
        {
            return null;
        }

        *Xmm(s, op->Dst) = Vector128.CreateScalar(value.AsUInt64().ToScalar()).AsByte();
        return op + 1;
    }

    /// <summary>MOVLPS/MOVLPD load; MOVHLPS is the register form and takes the source's high half.</summary>
    public static Op* LoadLow(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        ulong value;
        if (!IsMemory(op))
        {
            value = ((ulong*)Xmm(s, op->Src))[1];
        }
        else if (!Load(s, op, out value))
        {
            return null;
        }

        ((ulong*)Xmm(s, op->Dst))[0] = value;
        return op + 1;
    }

    /// <summary>MOVHPS/MOVHPD load; MOVLHPS is the register form and takes the source's low half.</summary>
    public static Op* LoadHigh(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        ulong value;
        if (!IsMemory(op))
        {
            value = ((ulong*)Xmm(s, op->Src))[0];
        }
        else if (!Load(s, op, out value))
        {
            return null;
        }

        ((ulong*)Xmm(s, op->Dst))[1] = value;
        return op + 1;
    }

    public static Op* StoreHigh(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        return Store(s, op, ((ulong*)Xmm(s, StoredRegister(op)))[1]) ? op + 1 : null;
    }

    /// <summary>MOVD/MOVQ xmm, r/m.</summary>
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

        *Xmm(s, op->Dst) = Vector128.CreateScalar(value).AsByte();
        return op + 1;
    }

    /// <summary>MOVD/MOVQ r/m, xmm.</summary>
    public static Op* ToGprOrMemory<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        T value = *(T*)Xmm(s, StoredRegister(op));
        if (IsMemory(op))
        {
            return Store(s, op, value) ? op + 1 : null;
        }

        ulong wide = 0;
        *(T*)&wide = value;
        s->Gpr[op->Dst] = wide;
        return op + 1;
    }

    /// <summary>MOVNTI m, r. It touches no SIMD state, so CR0 and CR4 do not matter.</summary>
    public static Op* StoreGpr<T>(VpState* s, Op* op)
        where T : unmanaged
        => Store(s, op, *(T*)(s->Gpr + op->Dst)) ? op + 1 : null;

    /// <summary>MASKMOVDQU [rDI], xmm, xmm: bytes whose mask has bit 7 set. All are probed before the first is written.</summary>
    public static Op* MaskedStore(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        return StoreMasked(s, op, (byte*)Xmm(s, op->Dst), (byte*)Xmm(s, op->Src2), 16) ? op + 1 : null;
    }

    public static bool StoreMasked(VpState* s, Op* op, byte* data, byte* mask, int count)
    {
        ulong offset = s->Gpr[7];
        offset = op->AddressBytes == 8 ? offset : op->AddressBytes == 4 ? (uint)offset : (ushort)offset;
        if (!Operand.Linear(s, op, (Segment)op->Segment, offset, (uint)count, write: true, out ulong linear))
        {
            return false;
        }

        for (int pass = 0; pass < 2; pass++)
        {
            for (int i = 0; i < count; i++)
            {
                if (mask[i] < 0x80)
                {
                    continue;
                }

                bool ok = pass == 0
                    ? GuestAccess.LoadForWrite(s, linear + (ulong)i, out byte _)
                    : GuestAccess.Store(s, linear + (ulong)i, data[i]);
                if (!ok)
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>LFENCE, MFENCE, SFENCE. The interpreter executes loads and stores in program order; only store-load order needs the host's fence.</summary>
    public static Op* Fence(VpState* s, Op* op)
    {
        Interlocked.MemoryBarrier();
        return op + 1;
    }

    /// <summary>PREFETCHh: no architectural effect, not even a fault.</summary>
    public static Op* Nothing(VpState* s, Op* op) => op + 1;
}

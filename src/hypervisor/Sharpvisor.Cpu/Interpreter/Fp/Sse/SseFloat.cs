// Handlers of SSE arithmetic: one for each shape, generic over the operation and the element type. Intel SDM Vol. 2.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal static unsafe class SseFloat
{
    public static Op* Packed<TOp, T>(VpState* s, Op* op)
        where TOp : struct, IFloatBinary
        where T : unmanaged
        => Binary<TOp, T>(s, op, scalar: false);

    public static Op* Scalar<TOp, T>(VpState* s, Op* op)
        where TOp : struct, IFloatBinary
        where T : unmanaged
        => Binary<TOp, T>(s, op, scalar: true);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Op* Binary<TOp, T>(VpState* s, Op* op, bool scalar)
        where TOp : struct, IFloatBinary
        where T : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!FloatSupport.Source<T>(s, op, scalar, out Vector128<byte> source))
        {
            return null;
        }

        Vector128<byte>* d = SseAccess.Xmm(s, op->Dst);
        if (TOp.Exact || FloatSupport.HostRounds(s))
        {
            Vector128<T> a = (*d).As<byte, T>();
            Vector128<T> b = source.As<byte, T>();
            Vector128<T> result = TOp.Host(a, b);
            if (FloatSupport.Holds(TOp.Trusted(a, b, result), scalar))
            {
                if (scalar)
                {
                    *(T*)d = result.ToScalar();
                }
                else
                {
                    *d = result.AsByte();
                }

                return op + 1;
            }
        }

        return SlowBinary<TOp, T>(s, op, source, scalar ? 1 : 16 / sizeof(T)) ? op + 1 : null;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool SlowBinary<TOp, T>(VpState* s, Op* op, Vector128<byte> source, int count)
        where TOp : struct, IFloatBinary
        where T : unmanaged
    {
        FpStatus status = FloatSupport.Status(s);
        Precision p = FloatSupport.PrecisionOf<T>();
        byte* d = (byte*)SseAccess.Xmm(s, op->Dst);
        Vector128<byte> result = *(Vector128<byte>*)d;
        for (int i = 0; i < count; i++)
        {
            Num a = FloatSupport.Unpack<T>(d, i, ref status);
            Num b = FloatSupport.Unpack<T>((byte*)&source, i, ref status);
            FloatSupport.Pack<T>((byte*)&result, i, TOp.Soft(a, b, p, ref status));
        }

        if (!FloatSupport.Commit(s, op, status))
        {
            return false;
        }

        *(Vector128<byte>*)d = result;
        return true;
    }

    /// <summary>HADDPS and kin: the operands of each lane are neighbours in the destination and then in the source.</summary>
    public static Op* Horizontal<TOp, T>(VpState* s, Op* op)
        where TOp : struct, IFloatBinary
        where T : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.Source(s, op, out Vector128<byte> source))
        {
            return null;
        }

        FpStatus status = FloatSupport.Status(s);
        Precision p = FloatSupport.PrecisionOf<T>();
        byte* d = (byte*)SseAccess.Xmm(s, op->Dst);
        Vector128<byte> result = default;
        int half = 8 / sizeof(T);
        for (int i = 0; i < half * 2; i++)
        {
            byte* from = i < half ? d : (byte*)&source;
            int k = (i % half) * 2;
            Num a = FloatSupport.Unpack<T>(from, k, ref status);
            Num b = FloatSupport.Unpack<T>(from, k + 1, ref status);
            FloatSupport.Pack<T>((byte*)&result, i, TOp.Soft(a, b, p, ref status));
        }

        if (!FloatSupport.Commit(s, op, status))
        {
            return null;
        }

        *(Vector128<byte>*)d = result;
        return op + 1;
    }

    /// <summary>ADDSUBPS/PD: even lanes subtract, odd lanes add.</summary>
    public static Op* AddSubtract<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.Source(s, op, out Vector128<byte> source))
        {
            return null;
        }

        FpStatus status = FloatSupport.Status(s);
        Precision p = FloatSupport.PrecisionOf<T>();
        byte* d = (byte*)SseAccess.Xmm(s, op->Dst);
        Vector128<byte> result = default;
        for (int i = 0; i < 16 / sizeof(T); i++)
        {
            Num a = FloatSupport.Unpack<T>(d, i, ref status);
            Num b = FloatSupport.Unpack<T>((byte*)&source, i, ref status);
            Num r = (i & 1) == 0 ? SubOp.Soft(a, b, p, ref status) : AddOp.Soft(a, b, p, ref status);
            FloatSupport.Pack<T>((byte*)&result, i, r);
        }

        if (!FloatSupport.Commit(s, op, status))
        {
            return null;
        }

        *(Vector128<byte>*)d = result;
        return op + 1;
    }

    /// <summary>DPPS/DPPD: products of the chosen lanes, summed in pairs, to the chosen lanes.</summary>
    public static Op* DotProduct<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.Source(s, op, out Vector128<byte> source))
        {
            return null;
        }

        FpStatus status = FloatSupport.Status(s);
        Precision p = FloatSupport.PrecisionOf<T>();
        byte* d = (byte*)SseAccess.Xmm(s, op->Dst);
        int count = 16 / sizeof(T);
        Num* sums = stackalloc Num[4];
        for (int i = 0; i < count; i++)
        {
            sums[i] = Num.Zero(false);
            if ((op->Immediate >> (4 + i) & 1) != 0)
            {
                Num a = FloatSupport.Unpack<T>(d, i, ref status);
                Num b = FloatSupport.Unpack<T>((byte*)&source, i, ref status);
                sums[i] = Settle<T>(MulOp.Soft(a, b, p, ref status), ref status);
            }
        }

        for (int n = count; n > 1; n /= 2)
        {
            for (int i = 0; i < n / 2; i++)
            {
                sums[i] = Settle<T>(AddOp.Soft(sums[2 * i], sums[(2 * i) + 1], p, ref status), ref status);
            }
        }

        if (!FloatSupport.Commit(s, op, status))
        {
            return null;
        }

        Vector128<byte> result = default;
        for (int i = 0; i < count; i++)
        {
            if ((op->Immediate >> i & 1) != 0)
            {
                FloatSupport.Pack<T>((byte*)&result, i, sums[0]);
            }
        }

        *(Vector128<byte>*)d = result;
        return op + 1;
    }

    /// <summary>An intermediate result passes through its format, so that a denormal is one for the next step.</summary>
    private static Num Settle<T>(in Num n, ref FpStatus status)
        where T : unmanaged
    {
        ulong cell = 0;
        FloatSupport.Pack<T>((byte*)&cell, 0, n);
        return FloatSupport.Unpack<T>((byte*)&cell, 0, ref status);
    }

    /// <summary>RCPPS, RSQRTPS: tables in the processor, no exceptions. The guest gets the host's.</summary>
    public static Op* Approximate<TOp>(VpState* s, Op* op)
        where TOp : struct, IVectorBinary
        => SseInteger.Binary<TOp>(s, op);

    public static Op* ApproximateScalar<TOp>(VpState* s, Op* op)
        where TOp : struct, IVectorBinary
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.SourceScalar<uint>(s, op, out Vector128<byte> b))
        {
            return null;
        }

        *(uint*)SseAccess.Xmm(s, op->Dst) = TOp.Apply(default, b).AsUInt32().ToScalar();
        return op + 1;
    }
}

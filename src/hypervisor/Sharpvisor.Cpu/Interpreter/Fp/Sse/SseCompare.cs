// CMPPS/PD/SS/SD, COMISS, UCOMISS and their doubles: Intel SDM Vol. 2.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal static unsafe class SseCompare
{
    public static Op* Packed<T>(VpState* s, Op* op)
        where T : unmanaged
        => Compare<T>(s, op, scalar: false);

    public static Op* Scalar<T>(VpState* s, Op* op)
        where T : unmanaged
        => Compare<T>(s, op, scalar: true);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Op* Compare<T>(VpState* s, Op* op, bool scalar)
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
        Vector128<T> a = (*d).As<byte, T>();
        Vector128<T> b = source.As<byte, T>();
        int predicate = (int)op->Immediate & 7;
        // Without denormals, infinities and NaNs there is nothing to report.
        if (FloatSupport.Holds(FloatSupport.Ordinary(a) & FloatSupport.Ordinary(b), scalar))
        {
            Vector128<T> mask = (predicate & 3) switch
            {
                0 => Vector128.Equals(a, b),
                1 => Vector128.LessThan(a, b),
                2 => Vector128.LessThanOrEqual(a, b),
                _ => Vector128<T>.Zero,
            };
            // NEQ, NLT, NLE, ORD are the complements.
            mask = predicate >= 4 ? ~mask : mask;
            if (scalar)
            {
                *(T*)d = mask.ToScalar();
            }
            else
            {
                *d = mask.AsByte();
            }

            return op + 1;
        }

        return Slow<T>(s, op, source, scalar ? 1 : 16 / sizeof(T), predicate) ? op + 1 : null;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool Slow<T>(VpState* s, Op* op, Vector128<byte> source, int count, int predicate)
        where T : unmanaged
    {
        FpStatus status = FloatSupport.Status(s);
        byte* d = (byte*)SseAccess.Xmm(s, op->Dst);
        Vector128<byte> result = *(Vector128<byte>*)d;
        bool signaling = (predicate & 3) is 1 or 2;
        for (int i = 0; i < count; i++)
        {
            Num a = FloatSupport.Unpack<T>(d, i, ref status);
            Num b = FloatSupport.Unpack<T>((byte*)&source, i, ref status);
            bool unordered = Unordered(a, b, signaling, ref status);
            int order = unordered ? 0 : Arithmetic.Compare(a, b);
            bool holds = (predicate & 3) switch
            {
                0 => !unordered && order == 0,
                1 => !unordered && order < 0,
                2 => !unordered && order <= 0,
                _ => unordered,
            };
            ulong mask = holds != (predicate >= 4) ? ulong.MaxValue : 0;
            ((T*)&result)[i] = *(T*)&mask;
        }

        if (!FloatSupport.Commit(s, op, status))
        {
            return false;
        }

        *(Vector128<byte>*)d = result;
        return true;
    }

    private static bool Unordered(in Num a, in Num b, bool signaling, ref FpStatus status)
    {
        if (a.IsNaN || b.IsNaN)
        {
            if (signaling || a.Kind == NumKind.SignalingNaN || b.Kind == NumKind.SignalingNaN)
            {
                status.Flags |= FpFlags.Invalid;
            }

            return true;
        }

        if (a.IsDenormal || b.IsDenormal)
        {
            status.Flags |= FpFlags.Denormal;
        }

        return false;
    }

    public static Op* Ordered<T>(VpState* s, Op* op)
        where T : unmanaged
        => ToFlags<T>(s, op, signaling: true);

    public static Op* Unordered<T>(VpState* s, Op* op)
        where T : unmanaged
        => ToFlags<T>(s, op, signaling: false);

    private static Op* ToFlags<T>(VpState* s, Op* op, bool signaling)
        where T : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.SourceScalar<T>(s, op, out Vector128<byte> source))
        {
            return null;
        }

        FpStatus status = FloatSupport.Status(s);
        Num a = FloatSupport.Unpack<T>((byte*)SseAccess.Xmm(s, op->Dst), 0, ref status);
        Num b = FloatSupport.Unpack<T>((byte*)&source, 0, ref status);
        bool unordered = Unordered(a, b, signaling, ref status);
        if (!FloatSupport.Commit(s, op, status))
        {
            return null;
        }

        const ulong zf = 0x40;
        const ulong pf = 4;
        const ulong cf = 1;
        int order = unordered ? 0 : Arithmetic.Compare(a, b);
        Flags.WriteArithmetic(s, unordered ? zf | pf | cf : order == 0 ? zf : order < 0 ? cf : 0);
        return op + 1;
    }
}

// Conversions between integers, singles and doubles, and ROUNDxx: Intel SDM Vol. 2, 4.8.4.2 for out-of-range values.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.Mmx;
using Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal static unsafe class SseConvert
{
    /// <summary>CVTSI2SS/SD. A 32-bit integer is exact as a double.</summary>
    public static Op* FromGpr<TInt, T>(VpState* s, Op* op)
        where TInt : unmanaged
        where T : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.SourceGpr(s, op, out TInt raw))
        {
            return null;
        }

        long value = sizeof(TInt) == 4 ? *(int*)&raw : *(long*)&raw;
        byte* d = (byte*)SseAccess.Xmm(s, op->Dst);
        if (typeof(T) == typeof(double) && value == (int)value)
        {
            *(double*)d = (int)value;
            return op + 1;
        }

        FpStatus status = FloatSupport.Status(s);
        Num result = FromInteger<T>(value, ref status);
        if (!FloatSupport.Commit(s, op, status))
        {
            return null;
        }

        FloatSupport.Pack<T>(d, 0, result);
        return op + 1;
    }

    private static Num FromInteger<T>(long value, ref FpStatus status)
    {
        Num n = Arithmetic.FromInt64(value);
        return n.Kind == NumKind.Zero
            ? n
            : Round.ToPrecision(n.Sign, n.Exponent, n.Significand, 0, FloatSupport.PrecisionOf<T>(), ref status);
    }

    public static Op* ToGpr<T, TInt>(VpState* s, Op* op)
        where T : unmanaged
        where TInt : unmanaged
        => ToGpr<T, TInt>(s, op, truncate: false);

    public static Op* TruncateToGpr<T, TInt>(VpState* s, Op* op)
        where T : unmanaged
        where TInt : unmanaged
        => ToGpr<T, TInt>(s, op, truncate: true);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Op* ToGpr<T, TInt>(VpState* s, Op* op, bool truncate)
        where T : unmanaged
        where TInt : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.SourceScalar<T>(s, op, out Vector128<byte> source))
        {
            return null;
        }

        double host = typeof(T) == typeof(float) ? source.AsSingle().ToScalar() : source.AsDouble().ToScalar();
        long value;
        // Exact small integers, the common case, raise nothing in any mode.
        if (Math.Abs(host) < 1e9 && (int)host == host)
        {
            value = (int)host;
        }
        else
        {
            FpStatus status = FloatSupport.Status(s);
            Num n = FloatSupport.Unpack<T>((byte*)&source, 0, ref status);
            value = ToInteger(n, sizeof(TInt) * 8, truncate, ref status);
            if (!FloatSupport.Commit(s, op, status))
            {
                return null;
            }
        }

        s->Gpr[op->Dst] = sizeof(TInt) == 4 ? (uint)value : (ulong)value;
        return op + 1;
    }

    private static long ToInteger(in Num n, int bits, bool truncate, ref FpStatus status)
        => Arithmetic.ToInteger(n, bits, truncate ? Rounding.Zero : status.Rounding, ref status);

    /// <summary>CVTSS2SD, CVTSD2SS.</summary>
    public static Op* Scalar<TFrom, TTo>(VpState* s, Op* op)
        where TFrom : unmanaged
        where TTo : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.SourceScalar<TFrom>(s, op, out Vector128<byte> source))
        {
            return null;
        }

        FpStatus status = FloatSupport.Status(s);
        Num result = Resize<TFrom, TTo>((byte*)&source, 0, ref status);
        if (!FloatSupport.Commit(s, op, status))
        {
            return null;
        }

        FloatSupport.Pack<TTo>((byte*)SseAccess.Xmm(s, op->Dst), 0, result);
        return op + 1;
    }

    private static Num Resize<TFrom, TTo>(byte* source, int i, ref FpStatus status)
    {
        Num n = FloatSupport.Unpack<TFrom>(source, i, ref status);
        if (FloatSupport.SelectNaN(n, n, ref status, out Num nan))
        {
            return nan;
        }

        if (n.Kind != NumKind.Finite)
        {
            return n;
        }

        if (n.IsDenormal)
        {
            status.Flags |= FpFlags.Denormal;
        }

        return Round.ToPrecision(n.Sign, n.Exponent, n.Significand, 0, FloatSupport.PrecisionOf<TTo>(), ref status);
    }

    /// <summary>CVTPS2PD (8-byte source), CVTPD2PS: two elements, the rest of the destination zero.</summary>
    public static Op* Packed<TFrom, TTo>(VpState* s, Op* op)
        where TFrom : unmanaged
        where TTo : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SourceOf<TFrom>(s, op, out Vector128<byte> source))
        {
            return null;
        }

        FpStatus status = FloatSupport.Status(s);
        Vector128<byte> result = default;
        for (int i = 0; i < 2; i++)
        {
            FloatSupport.Pack<TTo>((byte*)&result, i, Resize<TFrom, TTo>((byte*)&source, i, ref status));
        }

        return Finish(s, op, result, status);
    }

    /// <summary>Two elements: eight bytes of singles or integers, sixteen of doubles.</summary>
    private static bool SourceOf<T>(VpState* s, Op* op, out Vector128<byte> source)
        where T : unmanaged
        => sizeof(T) == 4 ? SseAccess.SourceScalar<ulong>(s, op, out source) : SseAccess.Source(s, op, out source);

    private static Op* Finish(VpState* s, Op* op, Vector128<byte> result, in FpStatus status)
    {
        if (!FloatSupport.Commit(s, op, status))
        {
            return null;
        }

        *SseAccess.Xmm(s, op->Dst) = result;
        return op + 1;
    }

    /// <summary>CVTDQ2PS.</summary>
    public static Op* IntegersToSingles(VpState* s, Op* op)
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
        return Finish(s, op, FromIntegers<float>(source, 4, ref status), status);
    }

    /// <summary>CVTDQ2PD: exact.</summary>
    public static Op* IntegersToDoubles(VpState* s, Op* op)
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.SourceScalar<ulong>(s, op, out Vector128<byte> source))
        {
            return null;
        }

        Vector128<int> v = source.AsInt32();
        *SseAccess.Xmm(s, op->Dst) = Vector128.Create((double)v[0], v[1]).AsByte();
        return op + 1;
    }

    private static Vector128<byte> FromIntegers<T>(Vector128<byte> source, int count, ref FpStatus status)
    {
        Vector128<byte> result = default;
        for (int i = 0; i < count; i++)
        {
            FloatSupport.Pack<T>((byte*)&result, i, FromInteger<T>(source.AsInt32()[i], ref status));
        }

        return result;
    }

    /// <summary>CVTPS2DQ, CVTTPS2DQ (four), CVTPD2DQ, CVTTPD2DQ (two, upper half zero).</summary>
    public static Op* ToIntegers<T>(VpState* s, Op* op)
        where T : unmanaged
        => ToIntegers<T>(s, op, truncate: false);

    public static Op* TruncateToIntegers<T>(VpState* s, Op* op)
        where T : unmanaged
        => ToIntegers<T>(s, op, truncate: true);

    private static Op* ToIntegers<T>(VpState* s, Op* op, bool truncate)
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
        Vector128<byte> result = Integers<T>(source, 16 / sizeof(T), truncate, ref status);
        return Finish(s, op, result, status);
    }

    private static Vector128<byte> Integers<T>(Vector128<byte> source, int count, bool truncate, ref FpStatus status)
    {
        Vector128<int> result = default;
        for (int i = 0; i < count; i++)
        {
            Num n = FloatSupport.Unpack<T>((byte*)&source, i, ref status);
            result = result.WithElement(i, (int)ToInteger(n, 32, truncate, ref status));
        }

        return result.AsByte();
    }

    /// <summary>CVTPI2PS, CVTPI2PD: MMX integers. CVTPI2PD from memory does not enter MMX state.</summary>
    public static Op* FromMmx<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        bool memory = SseAccess.IsMemory(op);
        bool mmx = !memory || sizeof(T) == 4;
        if (mmx && MmxHandlers.Unavailable(s))
        {
            return MmxHandlers.Refuse(s, op);
        }

        ulong raw;
        if (!memory)
        {
            raw = MmxHandlers.Read(s, op->Src);
        }
        else if (!SseAccess.Load(s, op, out raw))
        {
            return null;
        }

        FpStatus status = FloatSupport.Status(s);
        Vector128<byte> result = FromIntegers<T>(Vector128.CreateScalar(raw).AsByte(), 2, ref status);
        if (!FloatSupport.Commit(s, op, status))
        {
            return null;
        }

        byte* d = (byte*)SseAccess.Xmm(s, op->Dst);
        if (sizeof(T) == 4)
        {
            *(ulong*)d = result.AsUInt64().ToScalar();
        }
        else
        {
            *(Vector128<byte>*)d = result;
        }

        if (mmx)
        {
            MmxHandlers.Enter(s);
        }

        return op + 1;
    }

    public static Op* ToMmx<T>(VpState* s, Op* op)
        where T : unmanaged
        => ToMmx<T>(s, op, truncate: false);

    public static Op* TruncateToMmx<T>(VpState* s, Op* op)
        where T : unmanaged
        => ToMmx<T>(s, op, truncate: true);

    private static Op* ToMmx<T>(VpState* s, Op* op, bool truncate)
        where T : unmanaged
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (MmxHandlers.Unavailable(s))
        {
            return MmxHandlers.Refuse(s, op);
        }

        if (!SourceOf<T>(s, op, out Vector128<byte> source))
        {
            return null;
        }

        FpStatus status = FloatSupport.Status(s);
        Vector128<byte> result = Integers<T>(source, 2, truncate, ref status);
        if (!FloatSupport.Commit(s, op, status))
        {
            return null;
        }

        MmxHandlers.Write(s, op->Dst, result.AsUInt64().ToScalar());
        return op + 1;
    }

    public static Op* RoundPacked<T>(VpState* s, Op* op)
        where T : unmanaged
        => RoundIntegral<T>(s, op, scalar: false);

    public static Op* RoundScalar<T>(VpState* s, Op* op)
        where T : unmanaged
        => RoundIntegral<T>(s, op, scalar: true);

    private static Op* RoundIntegral<T>(VpState* s, Op* op, bool scalar)
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

        FpStatus status = FloatSupport.Status(s);
        int immediate = (int)op->Immediate;
        Rounding rounding = (immediate & 4) != 0 ? status.Rounding : (Rounding)(immediate & 3);
        bool quiet = (immediate & 8) != 0;
        byte* d = (byte*)SseAccess.Xmm(s, op->Dst);
        Vector128<byte> result = *(Vector128<byte>*)d;
        for (int i = 0; i < (scalar ? 1 : 16 / sizeof(T)); i++)
        {
            Num n = FloatSupport.Unpack<T>((byte*)&source, i, ref status);
            if (!FloatSupport.SelectNaN(n, n, ref status, out Num r))
            {
                r = Round.ToIntegral(n, rounding, out bool inexact, out _);
                status.Flags |= inexact && !quiet ? FpFlags.Inexact : FpFlags.None;
            }

            FloatSupport.Pack<T>((byte*)&result, i, r);
        }

        return Finish(s, op, result, status);
    }
}

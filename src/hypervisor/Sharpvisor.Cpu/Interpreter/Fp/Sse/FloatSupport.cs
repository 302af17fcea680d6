// What SSE floating point instructions share: MXCSR to FpStatus and back, NaN rules, and the test that lets the host's own
// instruction stand for the guest's. Intel SDM Vol. 1, 4.8.3.5 table 4-7 (NaN), 11.5 (exceptions).
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal static unsafe class FloatSupport
{
    private const ulong Cr4OsXmmExcpt = 1UL << 10;
    private const uint Precision = (uint)FpFlags.Inexact;
    private const uint PrecisionMask = Precision << Mxcsr.MaskShift;

    /// <summary>True when a host operation that raises at most "inexact" changes nothing in the guest's MXCSR: to nearest, masked, already sticky.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool HostRounds(VpState* s)
        => (s->Mxcsr & (Mxcsr.RoundingMask | PrecisionMask | Precision)) == (PrecisionMask | Precision);

    /// <summary>Lanes that are zero or normal, the smallest normal excluded: it may have been rounded up from below.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Ordinary<T>(Vector128<T> v)
    {
        if (typeof(T) == typeof(float))
        {
            Vector128<int> magnitude = v.AsInt32() & Vector128.Create(0x7FFF_FFFF);
            Vector128<int> zero = Vector128.Equals(magnitude, Vector128<int>.Zero);
            Vector128<int> normal = Vector128.GreaterThan(magnitude, Vector128.Create(0x0080_0000))
                & Vector128.LessThan(magnitude, Vector128.Create(0x7F80_0000));
            return (zero | normal).As<int, T>();
        }
        else
        {
            Vector128<long> magnitude = v.AsInt64() & Vector128.Create(0x7FFF_FFFF_FFFF_FFFF);
            Vector128<long> zero = Vector128.Equals(magnitude, Vector128<long>.Zero);
            Vector128<long> normal = Vector128.GreaterThan(magnitude, Vector128.Create(0x0010_0000_0000_0000))
                & Vector128.LessThan(magnitude, Vector128.Create(0x7FF0_0000_0000_0000));
            return (zero | normal).As<long, T>();
        }
    }

    /// <summary>Lane 0 for scalar instructions, all lanes for packed ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Holds<T>(Vector128<T> lanes, bool scalar)
        => scalar
            ? typeof(T) == typeof(float) ? lanes.AsUInt32().ToScalar() != 0 : lanes.AsUInt64().ToScalar() != 0
            : lanes.AsByte() == Vector128<byte>.AllBitsSet;

    public static FpStatus Status(VpState* s)
    {
        uint m = s->Mxcsr;
        return new FpStatus
        {
            Masks = (FpFlags)((m & Mxcsr.MasksMask) >> Mxcsr.MaskShift),
            Rounding = (Rounding)((m & Mxcsr.RoundingMask) >> Mxcsr.RoundingShift),
            FlushToZero = (m & Mxcsr.Ftz) != 0,
            DenormalsAreZero = (m & Mxcsr.Daz) != 0,
        };
    }

    /// <summary>Makes the flags sticky. False: an unmasked exception was raised and the destination must not change.</summary>
    public static bool Commit(VpState* s, Op* op, in FpStatus status)
    {
        FpFlags flags = status.Flags;
        FpFlags unmasked = flags & ~status.Masks;
        if ((unmasked & FpFlags.PreComputation) != 0)
        {
            flags &= FpFlags.PreComputation;
        }

        s->Mxcsr |= (uint)flags;
        if (unmasked == 0)
        {
            return true;
        }

        _ = (s->Cr4 & Cr4OsXmmExcpt) != 0 ? Faults.Raise(s, op, FpVector.Simd) : Faults.UndefinedOpcode(s, op);
        return false;
    }

    /// <summary>SSE's rule: the first operand if it is a NaN, else the second; made quiet.</summary>
    public static bool SelectNaN(in Num a, in Num b, ref FpStatus status, out Num result)
    {
        if (!a.IsNaN && !b.IsNaN)
        {
            result = default;
            return false;
        }

        if (a.Kind == NumKind.SignalingNaN || b.Kind == NumKind.SignalingNaN)
        {
            status.Flags |= FpFlags.Invalid;
        }

        result = Quiet(a.IsNaN ? a : b);
        return true;
    }

    public static Num Quiet(in Num n)
    {
        Num q = n;
        q.Kind = NumKind.QuietNaN;
        q.Significand |= 1UL << 62;
        return q;
    }

    /// <summary>Reads element i of a vector in memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Num Unpack<T>(byte* vector, int i, ref FpStatus status)
        => typeof(T) == typeof(float)
            ? Format.Unpack32(((uint*)vector)[i], ref status)
            : Format.Unpack64(((ulong*)vector)[i], ref status);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pack<T>(byte* vector, int i, in Num value)
    {
        if (typeof(T) == typeof(float))
        {
            ((uint*)vector)[i] = Format.Pack32(value);
        }
        else
        {
            ((ulong*)vector)[i] = Format.Pack64(value);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Precision PrecisionOf<T>()
        => typeof(T) == typeof(float) ? SoftFloat.Precision.Single : SoftFloat.Precision.Double;

    /// <summary>The whole source of a packed instruction, or the element of a scalar one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Source<T>(VpState* s, Op* op, bool scalar, out Vector128<byte> value)
        where T : unmanaged
        => scalar ? SseAccess.SourceScalar<T>(s, op, out value) : SseAccess.Source(s, op, out value);
}

// ADD, SUB, MUL, DIV, SQRT, MIN, MAX: the host's version, when it is exact enough to be used, and the software one.
// Intel SDM Vol. 2.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal interface IFloatBinary
{
    static abstract Vector128<T> Host<T>(Vector128<T> a, Vector128<T> b);

    /// <summary>Lanes where the host's result is the guest's and nothing but "inexact" can have been raised.</summary>
    static abstract Vector128<T> Trusted<T>(Vector128<T> a, Vector128<T> b, Vector128<T> result);

    /// <summary>True when the operation is never inexact.</summary>
    static abstract bool Exact { get; }

    static abstract Num Soft(in Num a, in Num b, in Precision p, ref FpStatus status);
}

internal readonly struct AddOp : IFloatBinary
{
    public static bool Exact => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Host<T>(Vector128<T> a, Vector128<T> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Trusted<T>(Vector128<T> a, Vector128<T> b, Vector128<T> result)
        => FloatSupport.Ordinary(a) & FloatSupport.Ordinary(b) & FloatSupport.Ordinary(result);

    public static Num Soft(in Num a, in Num b, in Precision p, ref FpStatus status)
        => FloatSupport.SelectNaN(a, b, ref status, out Num nan) ? nan : Arithmetic.Add(a, b, p, ref status);
}

internal readonly struct SubOp : IFloatBinary
{
    public static bool Exact => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Host<T>(Vector128<T> a, Vector128<T> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Trusted<T>(Vector128<T> a, Vector128<T> b, Vector128<T> result) => AddOp.Trusted(a, b, result);

    public static Num Soft(in Num a, in Num b, in Precision p, ref FpStatus status)
        => FloatSupport.SelectNaN(a, b, ref status, out Num nan) ? nan : Arithmetic.Subtract(a, b, p, ref status);
}

internal readonly struct MulOp : IFloatBinary
{
    public static bool Exact => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Host<T>(Vector128<T> a, Vector128<T> b) => a * b;

    /// <remarks>A zero result is an underflow unless an operand is zero.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Trusted<T>(Vector128<T> a, Vector128<T> b, Vector128<T> result)
        => AddOp.Trusted(a, b, result)
            & (~Vector128.Equals(result, Vector128<T>.Zero)
                | Vector128.Equals(a, Vector128<T>.Zero) | Vector128.Equals(b, Vector128<T>.Zero));

    public static Num Soft(in Num a, in Num b, in Precision p, ref FpStatus status)
        => FloatSupport.SelectNaN(a, b, ref status, out Num nan) ? nan : Arithmetic.Multiply(a, b, p, ref status);
}

internal readonly struct DivOp : IFloatBinary
{
    public static bool Exact => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Host<T>(Vector128<T> a, Vector128<T> b) => a / b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Trusted<T>(Vector128<T> a, Vector128<T> b, Vector128<T> result)
        => AddOp.Trusted(a, b, result)
            & (~Vector128.Equals(result, Vector128<T>.Zero) | Vector128.Equals(a, Vector128<T>.Zero));

    public static Num Soft(in Num a, in Num b, in Precision p, ref FpStatus status)
        => FloatSupport.SelectNaN(a, b, ref status, out Num nan) ? nan : Arithmetic.Divide(a, b, p, ref status);
}

/// <summary>The destination is not an operand.</summary>
internal readonly struct SqrtOp : IFloatBinary
{
    public static bool Exact => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Host<T>(Vector128<T> a, Vector128<T> b) => Vector128.Sqrt(b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Trusted<T>(Vector128<T> a, Vector128<T> b, Vector128<T> result)
        => FloatSupport.Ordinary(b) & FloatSupport.Ordinary(result);

    public static Num Soft(in Num a, in Num b, in Precision p, ref FpStatus status)
        => FloatSupport.SelectNaN(b, b, ref status, out Num nan) ? nan : Arithmetic.SquareRoot(b, p, ref status);
}

internal readonly struct MinOp : IFloatBinary
{
    public static bool Exact => true;

    /// <remarks>a &lt; b ? a : b, which also gives b for two zeros.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Host<T>(Vector128<T> a, Vector128<T> b)
        => Vector128.ConditionalSelect(Vector128.LessThan(a, b), a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Trusted<T>(Vector128<T> a, Vector128<T> b, Vector128<T> result)
        => FloatSupport.Ordinary(a) & FloatSupport.Ordinary(b);

    public static Num Soft(in Num a, in Num b, in Precision p, ref FpStatus status)
        => MinMax.Select(a, b, wanted: -1, ref status);
}

internal readonly struct MaxOp : IFloatBinary
{
    public static bool Exact => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Host<T>(Vector128<T> a, Vector128<T> b)
        => Vector128.ConditionalSelect(Vector128.GreaterThan(a, b), a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Trusted<T>(Vector128<T> a, Vector128<T> b, Vector128<T> result) => MinOp.Trusted(a, b, result);

    public static Num Soft(in Num a, in Num b, in Precision p, ref FpStatus status)
        => MinMax.Select(a, b, wanted: 1, ref status);
}

internal static class MinMax
{
    /// <summary>The first operand if it compares as wanted, else the second, unchanged (a signaling NaN stays one).</summary>
    public static Num Select(in Num a, in Num b, int wanted, ref FpStatus status)
    {
        if (a.IsNaN || b.IsNaN)
        {
            status.Flags |= FpFlags.Invalid;
            return b;
        }

        if (a.IsDenormal || b.IsDenormal)
        {
            status.Flags |= FpFlags.Denormal;
        }

        return Arithmetic.Compare(a, b) == wanted ? a : b;
    }
}

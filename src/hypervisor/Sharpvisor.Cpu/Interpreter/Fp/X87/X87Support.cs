// Control word to FpStatus and back, stack faults and NaN rules of the x87: Intel SDM Vol. 1, 8.4, 8.5, table 4-7.
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;
using static Sharpvisor.Cpu.Interpreter.Fp.X87.X87State;

namespace Sharpvisor.Cpu.Interpreter.Fp.X87;

internal static unsafe class X87Support
{
    public static FpStatus Status(VpState* s) => new()
    {
        Masks = (FpFlags)(s->Fcw & ExceptionFlags),
        Rounding = (Rounding)((s->Fcw >> 10) & 3),
        WrapExponent = true,
    };

    /// <summary>Precision control. The exponent range is always the extended one.</summary>
    public static Precision PrecisionOf(VpState* s) => ((s->Fcw >> 8) & 3) switch
    {
        0 => new Precision(24, -16382, 16383),
        2 => new Precision(53, -16382, 16383),
        _ => Precision.Extended,
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Num ReadNum(VpState* s, int i)
    {
        Float80 f = Read(s, i);
        return Format.Unpack80(f.SignExponent, f.Significand);
    }

    /// <summary>Makes the flags sticky and sets C1. False: an unmasked exception keeps the result from being written.</summary>
    public static bool Commit(VpState* s, Op* op, in FpStatus status, FpFlags blocking = FpFlags.PreComputation)
    {
        FpFlags flags = status.Flags;
        FpFlags unmasked = flags & ~status.Masks;
        bool blocked = (unmasked & blocking) != 0;
        if ((unmasked & FpFlags.PreComputation) != 0)
        {
            flags &= FpFlags.PreComputation;
        }

        s->Fsw = (ushort)((s->Fsw & ~C1) | (int)flags | (status.RoundedUp && !blocked ? C1 : 0));
        if (unmasked != 0)
        {
            Signal(s, op);
        }

        return !blocked;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Signal(VpState* s, Op* op)
    {
        s->Fsw |= ErrorSummary | Busy;
        if ((op->Flags & OpFlags.Memory) != 0)
        {
            s->Fdp = Operand.Effective(s, op);
        }
    }

    /// <summary>An empty source. True: masked, the caller goes on with the indefinite.</summary>
    public static bool Underflow(VpState* s, Op* op)
    {
        s->Fsw = (ushort)((s->Fsw & ~C1) | StackFault | (int)FpFlags.Invalid);
        return Masked(s, op);
    }

    /// <summary>A push on a full stack.</summary>
    public static bool Overflow(VpState* s, Op* op)
    {
        s->Fsw = (ushort)(s->Fsw | C1 | StackFault | (int)FpFlags.Invalid);
        return Masked(s, op);
    }

    private static bool Masked(VpState* s, Op* op)
    {
        if ((s->Fcw & (int)FpFlags.Invalid) != 0)
        {
            return true;
        }

        Signal(s, op);
        return false;
    }

    /// <summary>Unsupported operands and NaNs: a quiet NaN beats a signaling one, else the larger significand, else the positive.</summary>
    public static bool SelectNaN(in Num a, in Num b, ref FpStatus status, out Num result)
    {
        if (a.Kind < NumKind.QuietNaN && b.Kind < NumKind.QuietNaN)
        {
            result = default;
            return false;
        }

        if (a.Kind == NumKind.Unsupported || b.Kind == NumKind.Unsupported)
        {
            status.Flags |= FpFlags.Invalid;
            result = Num.DefaultNaN;
            return true;
        }

        if (a.Kind == NumKind.SignalingNaN || b.Kind == NumKind.SignalingNaN)
        {
            status.Flags |= FpFlags.Invalid;
        }

        bool first = a.IsNaN
            && (!b.IsNaN
                || (a.Kind != b.Kind
                    ? a.Kind == NumKind.QuietNaN
                    : a.Significand != b.Significand ? a.Significand > b.Significand : !a.Sign));
        result = Sse.FloatSupport.Quiet(first ? a : b);
        return true;
    }

    /// <summary>The prologue of every waiting, non-control instruction. False: return Refuse.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Begin(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return false;
        }

        Track(s, op);
        return true;
    }

    /// <summary>A memory operand: single, double, or a 16, 32 or 64-bit integer.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool LoadNum<T>(VpState* s, Op* op, out Num value)
        where T : unmanaged
    {
        FpStatus none = default;
        bool ok = Sse.SseAccess.Load(s, op, out T raw);
        value = typeof(T) == typeof(float) ? Format.Unpack32(*(uint*)&raw, ref none)
            : typeof(T) == typeof(double) ? Format.Unpack64(*(ulong*)&raw, ref none)
            : Arithmetic.FromInt64(typeof(T) == typeof(short) ? *(short*)&raw : typeof(T) == typeof(int) ? *(int*)&raw : *(long*)&raw);
        return ok;
    }
}

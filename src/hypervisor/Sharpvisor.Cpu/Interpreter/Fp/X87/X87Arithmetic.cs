// FADD, FSUB, FSUBR, FMUL, FDIV, FDIVR in all their operand forms, and the comparisons: Intel SDM Vol. 2.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.SoftFloat;
using static Sharpvisor.Cpu.Interpreter.Fp.X87.X87State;
using static Sharpvisor.Cpu.Interpreter.Fp.X87.X87Support;

namespace Sharpvisor.Cpu.Interpreter.Fp.X87;

/// <summary>a is the destination, b the other operand.</summary>
internal interface IX87Binary
{
    static abstract Num Apply(in Num a, in Num b, in Precision p, ref FpStatus status);
}

internal readonly struct X87Add : IX87Binary
{
    public static Num Apply(in Num a, in Num b, in Precision p, ref FpStatus status) => Arithmetic.Add(a, b, p, ref status);
}

internal readonly struct X87Sub : IX87Binary
{
    public static Num Apply(in Num a, in Num b, in Precision p, ref FpStatus status) => Arithmetic.Subtract(a, b, p, ref status);
}

internal readonly struct X87SubReverse : IX87Binary
{
    public static Num Apply(in Num a, in Num b, in Precision p, ref FpStatus status) => Arithmetic.Subtract(b, a, p, ref status);
}

internal readonly struct X87Mul : IX87Binary
{
    public static Num Apply(in Num a, in Num b, in Precision p, ref FpStatus status) => Arithmetic.Multiply(a, b, p, ref status);
}

internal readonly struct X87Div : IX87Binary
{
    public static Num Apply(in Num a, in Num b, in Precision p, ref FpStatus status) => Arithmetic.Divide(a, b, p, ref status);
}

internal readonly struct X87DivReverse : IX87Binary
{
    public static Num Apply(in Num a, in Num b, in Precision p, ref FpStatus status) => Arithmetic.Divide(b, a, p, ref status);
}

internal static unsafe class X87Arithmetic
{
    /// <summary>ST(dst) = ST(dst) op ST(src).</summary>
    public static Op* Registers<TOp>(VpState* s, Op* op)
        where TOp : struct, IX87Binary
        => Registers<TOp>(s, op, pop: false);

    public static Op* RegistersPop<TOp>(VpState* s, Op* op)
        where TOp : struct, IX87Binary
        => Registers<TOp>(s, op, pop: true);

    private static Op* Registers<TOp>(VpState* s, Op* op, bool pop)
        where TOp : struct, IX87Binary
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        bool written;
        if (IsEmpty(s, op->Dst) || IsEmpty(s, op->Src))
        {
            written = Underflow(s, op);
            if (written)
            {
                Write(s, op->Dst, Float80.Indefinite);
            }
        }
        else
        {
            written = Apply<TOp>(s, op, op->Dst, ReadNum(s, op->Src));
        }

        if (written && pop)
        {
            Pop(s);
        }

        return op + 1;
    }

    /// <summary>ST(0) = ST(0) op memory.</summary>
    public static Op* Memory<TOp, T>(VpState* s, Op* op)
        where TOp : struct, IX87Binary
        where T : unmanaged
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!LoadNum<T>(s, op, out Num b))
        {
            return null;
        }

        Track(s, op);
        if (!IsEmpty(s, 0))
        {
            Apply<TOp>(s, op, 0, b);
        }
        else if (Underflow(s, op))
        {
            Write(s, 0, Float80.Indefinite);
        }

        return op + 1;
    }

    private static bool Apply<TOp>(VpState* s, Op* op, int destination, in Num b)
        where TOp : struct, IX87Binary
    {
        Num a = ReadNum(s, destination);
        FpStatus status = Status(s);
        if (!SelectNaN(a, b, ref status, out Num result))
        {
            result = TOp.Apply(a, b, PrecisionOf(s), ref status);
        }

        if (!Commit(s, op, status))
        {
            return false;
        }

        Write(s, destination, Format.Pack80(result));
        return true;
    }

    public static Op* Compare(VpState* s, Op* op) => CompareRegister(s, op, op->Src, quiet: false, pops: 0);

    public static Op* ComparePop(VpState* s, Op* op) => CompareRegister(s, op, op->Src, quiet: false, pops: 1);

    public static Op* ComparePopPop(VpState* s, Op* op) => CompareRegister(s, op, 1, quiet: false, pops: 2);

    public static Op* UnorderedCompare(VpState* s, Op* op) => CompareRegister(s, op, op->Src, quiet: true, pops: 0);

    public static Op* UnorderedComparePop(VpState* s, Op* op) => CompareRegister(s, op, op->Src, quiet: true, pops: 1);

    public static Op* UnorderedComparePopPop(VpState* s, Op* op) => CompareRegister(s, op, 1, quiet: true, pops: 2);

    private static Op* CompareRegister(VpState* s, Op* op, int other, bool quiet, int pops)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        Num b = ReadNum(s, other);
        CompareWith(s, op, b, IsEmpty(s, other), quiet, pops);
        return op + 1;
    }

    public static Op* CompareMemory<T>(VpState* s, Op* op)
        where T : unmanaged
        => CompareMemory<T>(s, op, pops: 0);

    public static Op* CompareMemoryPop<T>(VpState* s, Op* op)
        where T : unmanaged
        => CompareMemory<T>(s, op, pops: 1);

    private static Op* CompareMemory<T>(VpState* s, Op* op, int pops)
        where T : unmanaged
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!LoadNum<T>(s, op, out Num b))
        {
            return null;
        }

        Track(s, op);
        CompareWith(s, op, b, otherEmpty: false, quiet: false, pops);
        return op + 1;
    }

    /// <summary>FTST.</summary>
    public static Op* Test(VpState* s, Op* op)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        CompareWith(s, op, Num.Zero(false), otherEmpty: false, quiet: false, pops: 0);
        return op + 1;
    }

    private static void CompareWith(VpState* s, Op* op, in Num b, bool otherEmpty, bool quiet, int pops)
    {
        bool done;
        int conditions = C3 | C2 | C0;
        if (otherEmpty || IsEmpty(s, 0))
        {
            done = Underflow(s, op);
        }
        else
        {
            FpStatus status = Status(s);
            Num a = ReadNum(s, 0);
            if (!Unordered(a, b, quiet, ref status))
            {
                int order = Arithmetic.Compare(a, b);
                conditions = order == 0 ? C3 : order < 0 ? C0 : 0;
            }

            done = Commit(s, op, status);
        }

        // Processors set the condition codes even when the exception is unmasked; only the pop is withheld.
        s->Fsw = (ushort)((s->Fsw & ~Conditions) | conditions);
        if (!done)
        {
            return;
        }

        for (int i = 0; i < pops; i++)
        {
            Pop(s);
        }
    }

    private static bool Unordered(in Num a, in Num b, bool quiet, ref FpStatus status)
    {
        if (a.Kind >= NumKind.QuietNaN || b.Kind >= NumKind.QuietNaN)
        {
            if (!quiet || a.Kind > NumKind.QuietNaN || b.Kind > NumKind.QuietNaN)
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

    public static Op* CompareToFlags(VpState* s, Op* op) => ToFlags(s, op, quiet: false, pop: false);

    public static Op* CompareToFlagsPop(VpState* s, Op* op) => ToFlags(s, op, quiet: false, pop: true);

    public static Op* UnorderedToFlags(VpState* s, Op* op) => ToFlags(s, op, quiet: true, pop: false);

    public static Op* UnorderedToFlagsPop(VpState* s, Op* op) => ToFlags(s, op, quiet: true, pop: true);

    /// <summary>FCOMI and kin: ZF, PF, CF; OF, SF and AF are cleared.</summary>
    private static Op* ToFlags(VpState* s, Op* op, bool quiet, bool pop)
    {
        if (!Begin(s, op))
        {
            return Refuse(s, op);
        }

        const ulong unordered = 0x45;
        ulong flags = unordered;
        bool done;
        if (IsEmpty(s, 0) || IsEmpty(s, op->Src))
        {
            done = Underflow(s, op);
        }
        else
        {
            FpStatus status = Status(s);
            Num a = ReadNum(s, 0);
            Num b = ReadNum(s, op->Src);
            if (!Unordered(a, b, quiet, ref status))
            {
                int order = Arithmetic.Compare(a, b);
                flags = order == 0 ? 0x40UL : order < 0 ? 1UL : 0;
            }

            // FCOMI leaves the condition codes alone, C1 too.
            int c1 = s->Fsw & C1;
            done = Commit(s, op, status);
            s->Fsw = (ushort)(s->Fsw | c1);
        }

        Flags.WriteArithmetic(s, flags);
        if (done && pop)
        {
            Pop(s);
        }

        return op + 1;
    }
}

// MOVS STOS LODS CMPS SCAS with and without REP (Intel SDM Vol. 2, "REP/REPE/REPZ/REPNE/REPNZ"): whole page runs through
// host memory where possible, element by element otherwise (MMIO, page crossings, tracked code, odd segments).
// Restartable: registers say how far it came before each access; interruptible between runs.
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe class Strings<T>
    where T : unmanaged, IEquatable<T>
{
    private const int Rcx = 1;
    private const int Rsi = 6;
    private const int Rdi = 7;

    public static Op* Movs(VpState* s, Op* op)
    {
        if ((op->Flags & (OpFlags.Rep | OpFlags.Repne)) == 0)
        {
            return MovsOne(s, op) ? op + 1 : null;
        }

        while (Count(s, op) is var count && count != 0)
        {
            long n = CopyRun(s, op, count);
            if (n == 0)
            {
                if (!MovsOne(s, op))
                {
                    return null;
                }

                n = 1;
            }

            SetAddress(s, op, Rcx, count - (ulong)n);
            if (Interrupted(s, op, count - (ulong)n))
            {
                return null;
            }
        }

        return op + 1;
    }

    public static Op* Stos(VpState* s, Op* op)
    {
        if ((op->Flags & (OpFlags.Rep | OpFlags.Repne)) == 0)
        {
            return StosOne(s, op) ? op + 1 : null;
        }

        while (Count(s, op) is var count && count != 0)
        {
            long n = FillRun(s, op, count);
            if (n == 0)
            {
                if (!StosOne(s, op))
                {
                    return null;
                }

                n = 1;
            }

            SetAddress(s, op, Rcx, count - (ulong)n);
            if (Interrupted(s, op, count - (ulong)n))
            {
                return null;
            }
        }

        return op + 1;
    }

    public static Op* Lods(VpState* s, Op* op)
    {
        bool repeat = (op->Flags & (OpFlags.Rep | OpFlags.Repne)) != 0;
        while (!repeat || Count(s, op) != 0)
        {
            if (!Operand.Linear(s, op, (Segment)op->Segment, Address(s, op, Rsi), (uint)sizeof(T), false, out ulong linear)
                || !Sized<T>.Load(s, linear, out ulong value))
            {
                return null;
            }

            Sized<T>.Set(s, 0, value);
            Advance(s, op, Rsi, 1);
            if (!repeat)
            {
                break;
            }

            ulong left = Count(s, op) - 1;
            SetAddress(s, op, Rcx, left);
            if (Interrupted(s, op, left))
            {
                return null;
            }
        }

        return op + 1;
    }

    public static Op* Scas(VpState* s, Op* op)
    {
        bool repeat = (op->Flags & (OpFlags.Rep | OpFlags.Repne)) != 0;
        while (!repeat || Count(s, op) != 0)
        {
            if (repeat)
            {
                ScanRun(s, op);
            }

            if (!Operand.Linear(s, op, Segment.Es, Address(s, op, Rdi), (uint)sizeof(T), false, out ulong linear)
                || !Sized<T>.Load(s, linear, out ulong value))
            {
                return null;
            }

            _ = Sub.Run<T>(Flags.Lazy(s), Sized<T>.Get(s, 0), value);
            Advance(s, op, Rdi, 1);
            if (!repeat || !Again(s, op, out bool leave))
            {
                break;
            }

            if (leave)
            {
                return null;
            }
        }

        return op + 1;
    }

    public static Op* Cmps(VpState* s, Op* op)
    {
        bool repeat = (op->Flags & (OpFlags.Rep | OpFlags.Repne)) != 0;
        while (!repeat || Count(s, op) != 0)
        {
            if (repeat)
            {
                CompareRun(s, op);
            }

            if (!Operand.Linear(s, op, (Segment)op->Segment, Address(s, op, Rsi), (uint)sizeof(T), false, out ulong first)
                || !Sized<T>.Load(s, first, out ulong a)
                || !Operand.Linear(s, op, Segment.Es, Address(s, op, Rdi), (uint)sizeof(T), false, out ulong second)
                || !Sized<T>.Load(s, second, out ulong b))
            {
                return null;
            }

            _ = Sub.Run<T>(Flags.Lazy(s), a, b);
            Advance(s, op, Rsi, 1);
            Advance(s, op, Rdi, 1);
            if (!repeat || !Again(s, op, out bool leave))
            {
                break;
            }

            if (leave)
            {
                return null;
            }
        }

        return op + 1;
    }

    private static bool MovsOne(VpState* s, Op* op)
    {
        if (!Operand.Linear(s, op, (Segment)op->Segment, Address(s, op, Rsi), (uint)sizeof(T), false, out ulong source)
            || !Sized<T>.Load(s, source, out ulong value)
            || !Operand.Linear(s, op, Segment.Es, Address(s, op, Rdi), (uint)sizeof(T), true, out ulong target)
            || !Sized<T>.Store(s, target, value))
        {
            return false;
        }

        Advance(s, op, Rsi, 1);
        Advance(s, op, Rdi, 1);
        return true;
    }

    private static bool StosOne(VpState* s, Op* op)
    {
        if (!Operand.Linear(s, op, Segment.Es, Address(s, op, Rdi), (uint)sizeof(T), true, out ulong target)
            || !Sized<T>.Store(s, target, s->Gpr[0]))
        {
            return false;
        }

        Advance(s, op, Rdi, 1);
        return true;
    }

    /// <summary>Copies what both pages allow; 0: do one element the slow way.</summary>
    private static long CopyRun(VpState* s, Op* op, ulong count)
    {
        ulong elements = Math.Min(
            Run(s, op, (Segment)op->Segment, Rsi, count, write: false, out byte* source),
            Run(s, op, Segment.Es, Rdi, count, write: true, out byte* target));
        if (elements == 0)
        {
            return 0;
        }

        long bytes = (long)elements * sizeof(T);
        bool down = (s->RFlags & Flags.DF) != 0;
        long distance = target - source;
        if (down)
        {
            if (distance < 0 && -distance < bytes)
            {
                // Overlap that replicates: each store may feed a later load.
                for (long i = 0; i > -(long)elements; i--)
                {
                    ((T*)target)[i] = ((T*)source)[i];
                }
            }
            else
            {
                long back = bytes - sizeof(T);
                Buffer.MemoryCopy(source - back, target - back, bytes, bytes);
            }
        }
        else if (distance > 0 && distance < bytes)
        {
            for (long i = 0; i < (long)elements; i++)
            {
                ((T*)target)[i] = ((T*)source)[i];
            }
        }
        else
        {
            Buffer.MemoryCopy(source, target, bytes, bytes);
        }

        Advance(s, op, Rsi, elements);
        Advance(s, op, Rdi, elements);
        return (long)elements;
    }

    private static long FillRun(VpState* s, Op* op, ulong count)
    {
        ulong elements = Run(s, op, Segment.Es, Rdi, count, write: true, out byte* target);
        if (elements == 0)
        {
            return 0;
        }

        T value = Sized<T>.Narrow(s->Gpr[0]);
        byte* start = (s->RFlags & Flags.DF) != 0 ? target - ((long)(elements - 1) * sizeof(T)) : target;
        new Span<T>(start, (int)elements).Fill(value);
        Advance(s, op, Rdi, elements);
        return (long)elements;
    }

    /// <summary>Skips elements that do not end the scan; at least one is left for the ordinary path, which sets the flags.</summary>
    private static void ScanRun(VpState* s, Op* op)
    {
        ulong count = Count(s, op);
        if (count < 4 || (s->RFlags & Flags.DF) != 0)
        {
            return;
        }

        ulong elements = Run(s, op, Segment.Es, Rdi, count - 1, write: false, out byte* host);
        if (elements == 0)
        {
            return;
        }

        var span = new ReadOnlySpan<T>(host, (int)elements);
        T value = Sized<T>.Narrow(s->Gpr[0]);
        int stop = (op->Flags & OpFlags.Repne) != 0 ? span.IndexOf(value) : span.IndexOfAnyExcept(value);
        ulong skip = stop < 0 ? elements : (ulong)stop;
        Advance(s, op, Rdi, skip);
        SetAddress(s, op, Rcx, count - skip);
    }

    private static void CompareRun(VpState* s, Op* op)
    {
        ulong count = Count(s, op);
        if (count < 4 || (s->RFlags & Flags.DF) != 0 || (op->Flags & OpFlags.Repne) != 0)
        {
            return;
        }

        ulong elements = Math.Min(
            Run(s, op, (Segment)op->Segment, Rsi, count - 1, write: false, out byte* a),
            Run(s, op, Segment.Es, Rdi, count - 1, write: false, out byte* b));
        if (elements == 0)
        {
            return;
        }

        ulong skip = (ulong)new ReadOnlySpan<T>(a, (int)elements).CommonPrefixLength(new ReadOnlySpan<T>(b, (int)elements));
        Advance(s, op, Rsi, skip);
        Advance(s, op, Rdi, skip);
        SetAddress(s, op, Rcx, count - skip);
    }

    /// <summary>After an element of REPE/REPNE: counts down; false when the condition or the count ends it.</summary>
    private static bool Again(VpState* s, Op* op, out bool leave)
    {
        ulong left = Count(s, op) - 1;
        SetAddress(s, op, Rcx, left);
        leave = false;
        bool wanted = (op->Flags & OpFlags.Repne) == 0;
        if (Flags.Zero(s) != wanted)
        {
            return false;
        }

        leave = Interrupted(s, op, left);
        return true;
    }

    /// <summary>Elements from a register's address that lie in one page, one segment and plain memory.</summary>
    private static ulong Run(VpState* s, Op* op, Segment segment, int register, ulong count, bool write, out byte* host)
    {
        host = null;
        ulong offset = Address(s, op, register);
        SegmentRegister* descriptor = VpState.Seg(s, segment);
        ulong linear = offset;
        if ((op->Flags & OpFlags.Long) != 0)
        {
            linear += segment >= Segment.Fs ? descriptor->Base : 0;
        }
        else
        {
            linear = (uint)(descriptor->Base + offset);
        }

        bool down = (s->RFlags & Flags.DF) != 0;
        ulong inPage = linear & 0xFFF;
        ulong room = down
            ? inPage + (ulong)sizeof(T) > 4096 ? 0 : (inPage / (ulong)sizeof(T)) + 1
            : (4096 - inPage) / (ulong)sizeof(T);

        // The offset must not wrap within the run.
        ulong mask = AddressMask(op);
        ulong untilWrap = down ? (offset / (ulong)sizeof(T)) + 1 : ((mask - offset) / (ulong)sizeof(T)) + (mask == ulong.MaxValue ? 1UL : 0);
        ulong elements = Math.Min(count, Math.Min(room, untilWrap));
        if (elements == 0)
        {
            return 0;
        }

        if ((op->Flags & OpFlags.Long) == 0)
        {
            ulong bytes = elements * (ulong)sizeof(T);
            ulong lowest = down ? offset - (bytes - (ulong)sizeof(T)) : offset;
            if (!Operand.LegacyAccessAllowed(descriptor, (uint)lowest, (uint)bytes, write))
            {
                return 0;
            }
        }

        host = write ? GuestAccess.WriteRun(s, linear, out int available) : GuestAccess.ReadRun(s, linear, out available);
        return available == 0 ? 0 : elements;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Interrupted(VpState* s, Op* op, ulong left)
    {
        if (left == 0 || (s->PendingEvents & ~Vp.Pace) == 0)
        {
            return false;
        }

        Vp.Of(s).SyncRip(op);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong AddressMask(Op* op) =>
        op->AddressBytes == 8 ? ulong.MaxValue : op->AddressBytes == 4 ? uint.MaxValue : ushort.MaxValue;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Address(VpState* s, Op* op, int register) => s->Gpr[register] & AddressMask(op);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Count(VpState* s, Op* op) => s->Gpr[Rcx] & AddressMask(op);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SetAddress(VpState* s, Op* op, int register, ulong value)
    {
        if (op->AddressBytes == 2)
        {
            *(ushort*)(s->Gpr + register) = (ushort)value;
        }
        else
        {
            s->Gpr[register] = value & AddressMask(op);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Advance(VpState* s, Op* op, int register, ulong elements)
    {
        ulong bytes = elements * (ulong)sizeof(T);
        SetAddress(s, op, register, (s->RFlags & Flags.DF) != 0 ? s->Gpr[register] - bytes : s->Gpr[register] + bytes);
    }
}

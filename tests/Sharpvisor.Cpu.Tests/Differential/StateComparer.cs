// Says whether two runs of a sequence left the same registers, defined flags and memory, and if not, what differs.
using System.Globalization;
using System.Text;
using Iced.Intel;

namespace Sharpvisor.Cpu.Tests.Differential;

internal static unsafe class StateComparer
{
    private const ulong DirectionFlag = 0x400;

    private static readonly string[] s_gprs =
        ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

    public static bool Equal(Sequence sequence, ISequenceRunner a, ISequenceRunner b)
    {
        MachineState* x = a.Output;
        MachineState* y = b.Output;
        if (x->Vector != y->Vector || ((x->RFlags ^ y->RFlags) & FlagsMask(sequence, x->Vector)) != 0
            || !new Span<ulong>(x->Gpr, 16).SequenceEqual(new Span<ulong>(y->Gpr, 16)) || !FpuEqual(x->Fx, y->Fx, StatusMask(sequence, x))
            || (x->Vector != MachineState.Completed && !ExceptionEqual(x, y)))
        {
            return false;
        }

        for (int page = 0; page < Arena.BufferPages; page++)
        {
            if (!Page(a, page).SequenceEqual(Page(b, page)))
            {
                return false;
            }
        }

        return true;
    }

    public static string Describe(Sequence sequence, ISequenceRunner a, ISequenceRunner b, ulong buffer)
    {
        var text = new StringBuilder();
        MachineState* x = a.Output;
        MachineState* y = b.Output;
        void Line(string what, string left, string right) =>
            text.AppendLine(CultureInfo.InvariantCulture, $"  {what,-10} {a.Name} {left}  {b.Name} {right}");
        void Field(string what, ulong left, ulong right)
        {
            if (left != right)
            {
                Line(what, left.ToString("x16", CultureInfo.InvariantCulture), right.ToString("x16", CultureInfo.InvariantCulture));
            }
        }

        if (x->Vector != y->Vector)
        {
            Line("exception", VectorName(x->Vector), VectorName(y->Vector));
        }

        if (x->Vector != MachineState.Completed || y->Vector != MachineState.Completed)
        {
            Field("rip", x->Rip, y->Rip);
            Field("error", x->ErrorCode, y->ErrorCode);
            Field("cr2", x->Vector == 14 ? x->Cr2 : 0, y->Vector == 14 ? y->Cr2 : 0);
        }

        for (int i = 0; i < 16; i++)
        {
            Field(s_gprs[i], x->Gpr[i], y->Gpr[i]);
        }

        ulong mask = FlagsMask(sequence, x->Vector);
        Field("rflags", x->RFlags & mask, y->RFlags & mask);
        DescribeFpu(x->Fx, y->Fx, Field, Line);
        for (int i = 0; i < Arena.BufferBytes; i++)
        {
            byte left = a.BufferPage(i / Arena.PageBytes)[i % Arena.PageBytes];
            byte right = b.BufferPage(i / Arena.PageBytes)[i % Arena.PageBytes];
            Field($"[{buffer + (ulong)i:x}]", left, right);
        }

        return text.ToString();
    }

    private static Span<byte> Page(ISequenceRunner runner, int page) => new(runner.BufferPage(page), Arena.PageBytes);

    private static string VectorName(ulong vector) => vector switch
    {
        MachineState.Completed => "none",
        >= 1000 => "run ended: " + (Core.VpExit)(vector - 1000),
        _ => "#" + vector.ToString(CultureInfo.InvariantCulture),
    };

    private static ulong FlagsMask(Sequence sequence, ulong vector)
    {
        RflagsBits undefined = vector == MachineState.Completed ? sequence.UndefinedAtEnd : sequence.UndefinedAnywhere;
        ulong mask = DirectionFlag;
        mask |= (undefined & RflagsBits.CF) == 0 ? 0x001UL : 0;
        mask |= (undefined & RflagsBits.PF) == 0 ? 0x004UL : 0;
        mask |= (undefined & RflagsBits.AF) == 0 ? 0x010UL : 0;
        mask |= (undefined & RflagsBits.ZF) == 0 ? 0x040UL : 0;
        mask |= (undefined & RflagsBits.SF) == 0 ? 0x080UL : 0;
        mask |= (undefined & RflagsBits.OF) == 0 ? 0x800UL : 0;
        return mask;
    }

    private static bool ExceptionEqual(MachineState* x, MachineState* y) =>
        x->Rip == y->Rip && x->ErrorCode == y->ErrorCode && (x->Vector != 14 || x->Cr2 == y->Cr2);

    // With an unmasked exception pending, how far the instruction got with the condition codes differs between vendors.
    private static uint StatusMask(Sequence sequence, MachineState* state)
    {
        const int conditionCodes = 0x4700;
        ushort status = *(ushort*)(state->Fx + MachineState.FxFsw);
        int undefined = state->Vector == MachineState.Completed ? sequence.UndefinedStatusAtEnd : sequence.UndefinedStatusAnywhere;
        return ~(uint)(((status & 0x80) != 0 ? undefined | conditionCodes : undefined) << 16);
    }

    private static bool FpuEqual(byte* x, byte* y, uint statusMask)
    {
        // FCW, FSW, FTW; not FOP, FIP and FDP, which AMD stores only with a pending exception.
        if (((*(uint*)x ^ *(uint*)y) & statusMask) != 0 || x[MachineState.FxFtw] != y[MachineState.FxFtw]
            || *(uint*)(x + MachineState.FxMxcsr) != *(uint*)(y + MachineState.FxMxcsr))
        {
            return false;
        }

        for (int i = 0; i < 8; i++)
        {
            int at = MachineState.FxSt + (i * 16);
            if (*(ulong*)(x + at) != *(ulong*)(y + at) || *(ushort*)(x + at + 8) != *(ushort*)(y + at + 8))
            {
                return false;
            }
        }

        return new Span<byte>(x + MachineState.FxXmm, 256).SequenceEqual(new Span<byte>(y + MachineState.FxXmm, 256));
    }

    private static void DescribeFpu(byte* x, byte* y, Action<string, ulong, ulong> field, Action<string, string, string> line)
    {
        field("fcw", *(ushort*)x, *(ushort*)y);
        field("fsw", *(ushort*)(x + MachineState.FxFsw), *(ushort*)(y + MachineState.FxFsw));
        field("ftw", x[MachineState.FxFtw], y[MachineState.FxFtw]);
        field("mxcsr", *(uint*)(x + MachineState.FxMxcsr), *(uint*)(y + MachineState.FxMxcsr));
        for (int i = 0; i < 8; i++)
        {
            int at = MachineState.FxSt + (i * 16);
            Wide($"st{i}", *(ushort*)(x + at + 8), *(ulong*)(x + at), *(ushort*)(y + at + 8), *(ulong*)(y + at));
        }

        for (int i = 0; i < 16; i++)
        {
            int at = MachineState.FxXmm + (i * 16);
            Wide($"xmm{i}", *(ulong*)(x + at + 8), *(ulong*)(x + at), *(ulong*)(y + at + 8), *(ulong*)(y + at));
        }

        void Wide(string what, ulong highX, ulong lowX, ulong highY, ulong lowY)
        {
            if (highX != highY || lowX != lowY)
            {
                line(what, $"{highX:x4}:{lowX:x16}", $"{highY:x4}:{lowY:x16}");
            }
        }
    }
}

// Which part of a VP's state the engines must agree on, and how a difference is shown.
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Sharpvisor.Cpu.Lockstep;

internal static unsafe class StateComparison
{
    private static readonly string[] s_gprs =
        ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

    private static readonly string[] s_segments = ["es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"];

    private static readonly int s_rip = (int)Marshal.OffsetOf<VpState>(nameof(VpState.Rip));
    private static readonly int s_rflags = (int)Marshal.OffsetOf<VpState>(nameof(VpState.RFlags));
    private static readonly int s_cpl = (int)Marshal.OffsetOf<VpState>(nameof(VpState.Cpl));

    /// <summary>Everything before the engine's own pointer.</summary>
    public static int Bytes { get; } = (int)Marshal.OffsetOf<VpState>(nameof(VpState.EnginePrivate));

    public static Span<byte> Span(VpState* s) => new(s, Bytes);

    /// <summary>All but RFLAGS, pending events and the page base that engines keep in <c>Gpr[17]</c>.</summary>
    public static bool EqualButFlags(VpState* a, VpState* b) =>
        Span(a)[..(16 * 8)].SequenceEqual(Span(b)[..(16 * 8)])
        && a->Rip == b->Rip
        && Span(a)[s_cpl..].SequenceEqual(Span(b)[s_cpl..]);

    /// <summary>Makes the second state what the first one is.</summary>
    public static void Copy(VpState* from, VpState* to)
    {
        uint events = to->PendingEvents;
        Span(from).CopyTo(Span(to));
        to->PendingEvents = events;
    }

    public static IReadOnlyList<(int Word, ulong Value)>? Changes(ReadOnlySpan<byte> before, VpState* s)
    {
        ReadOnlySpan<byte> after = Span(s);
        if (before[..(s_rflags + 8)].SequenceEqual(after[..(s_rflags + 8)]) && before[s_cpl..].SequenceEqual(after[s_cpl..]))
        {
            return null;
        }

        var changes = new List<(int, ulong)>();
        ReadOnlySpan<ulong> old = MemoryMarshal.Cast<byte, ulong>(before);
        ReadOnlySpan<ulong> now = MemoryMarshal.Cast<byte, ulong>(after);
        for (int i = 0; i < now.Length; i++)
        {
            // Events share their word with CPL, which no intercept changes.
            if (old[i] != now[i] && i != (s_rflags / 8) + 1)
            {
                changes.Add((i, now[i]));
            }
        }

        return changes;
    }

    public static void Apply(VpState* s, IReadOnlyList<(int Word, ulong Value)> changes)
    {
        foreach ((int word, ulong value) in changes)
        {
            ((ulong*)s)[word] = value;
        }
    }

    /// <summary>Both states; fields that differ are marked.</summary>
    public static void Describe(StringBuilder text, VpState* a, VpState* b)
    {
        void Line(string name, ulong left, ulong right) =>
            text.AppendLine(CultureInfo.InvariantCulture, $"{(left == right ? ' ' : '*')} {name,-8} {left:x16}  {right:x16}");

        text.AppendLine("  register leader            follower          (* differs)");
        for (int i = 0; i < 16; i++)
        {
            Line(s_gprs[i], a->Gpr[i], b->Gpr[i]);
        }

        Line("rip", a->Rip, b->Rip);
        Line("rflags", a->RFlags, b->RFlags);
        Line("cpl", a->Cpl, b->Cpl);
        Line("shadow", a->InterruptShadow, b->InterruptShadow);
        Line("cr0", a->Cr0, b->Cr0);
        Line("cr2", a->Cr2, b->Cr2);
        Line("cr3", a->Cr3, b->Cr3);
        Line("cr4", a->Cr4, b->Cr4);
        Line("efer", a->Efer, b->Efer);
        Line("mxcsr", a->Mxcsr, b->Mxcsr);
        for (int i = 0; i < 8; i++)
        {
            SegmentRegister* x = VpState.Seg(a, (Segment)i);
            SegmentRegister* y = VpState.Seg(b, (Segment)i);
            if (x->Base != y->Base || x->Limit != y->Limit || x->Selector != y->Selector || x->Attributes != y->Attributes)
            {
                Line(s_segments[i], x->Base, y->Base);
                Line(s_segments[i] + "...", ((ulong)x->Limit << 32) | ((ulong)x->Attributes << 16) | x->Selector, ((ulong)y->Limit << 32) | ((ulong)y->Attributes << 16) | y->Selector);
            }
        }

        DescribeRest(a, b, Line);
    }

    // By its offset in the state: vector registers, x87, MSRs.
    private static void DescribeRest(VpState* a, VpState* b, Action<string, ulong, ulong> line)
    {
        int vectors = (int)(a->Vector - (byte*)a);
        for (int at = (int)((byte*)&a->Gdtr - (byte*)a); at < Bytes; at += 8)
        {
            ulong left = *(ulong*)((byte*)a + at);
            ulong right = *(ulong*)((byte*)b + at);
            if (left != right)
            {
                int vector = at - vectors;
                line(vector >= 0 && vector < 512 ? $"xmm{vector / 32}.{vector % 32 / 8}" : $"+{at}", left, right);
            }
        }
    }
}

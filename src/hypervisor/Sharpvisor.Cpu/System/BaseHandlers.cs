// FS and GS bases: SWAPGS, RDFSBASE and relatives, Intel SDM Vol. 2.
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.System;

internal static unsafe class BaseHandlers
{
    public static Op* Swapgs(VpState* s, Op* op)
    {
        if ((op->Flags & OpFlags.Long) == 0)
        {
            return Faults.UndefinedOpcode(s, op);
        }

        if (s->Cpl != 0)
        {
            return Faults.GeneralProtection(s, op);
        }

        SegmentRegister* gs = VpState.Seg(s, Segment.Gs);
        (gs->Base, s->KernelGsBase) = (s->KernelGsBase, gs->Base);
        return op + 1;
    }

    public static Op* RdFs32(VpState* s, Op* op) => Read(s, op, Segment.Fs, uint.MaxValue);

    public static Op* RdFs64(VpState* s, Op* op) => Read(s, op, Segment.Fs, ulong.MaxValue);

    public static Op* RdGs32(VpState* s, Op* op) => Read(s, op, Segment.Gs, uint.MaxValue);

    public static Op* RdGs64(VpState* s, Op* op) => Read(s, op, Segment.Gs, ulong.MaxValue);

    public static Op* WrFs32(VpState* s, Op* op) => Write(s, op, Segment.Fs, uint.MaxValue);

    public static Op* WrFs64(VpState* s, Op* op) => Write(s, op, Segment.Fs, ulong.MaxValue);

    public static Op* WrGs32(VpState* s, Op* op) => Write(s, op, Segment.Gs, uint.MaxValue);

    public static Op* WrGs64(VpState* s, Op* op) => Write(s, op, Segment.Gs, ulong.MaxValue);

    private static Op* Read(VpState* s, Op* op, Segment segment, ulong mask)
    {
        if (!Enabled(s, op))
        {
            return null;
        }

        s->Gpr[op->Dst] = VpState.Seg(s, segment)->Base & mask;
        return op + 1;
    }

    private static Op* Write(VpState* s, Op* op, Segment segment, ulong mask)
    {
        if (!Enabled(s, op))
        {
            return null;
        }

        ulong value = s->Gpr[op->Dst] & mask;
        if (!Segments.IsCanonical(value))
        {
            return Faults.GeneralProtection(s, op);
        }

        VpState.Seg(s, segment)->Base = value;
        return op + 1;
    }

    private static bool Enabled(VpState* s, Op* op)
        => ((op->Flags & OpFlags.Long) != 0 && (s->Cr4 & Cr4.FSGSBASE) != 0) || Faults.Record(s, Vector.UD);
}

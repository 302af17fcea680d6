// MOV, PUSH, POP of segment registers and LDS..LGS: Intel SDM Vol. 2.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

internal static unsafe class SegmentHandlers
{
    public static Op* MovToSegment(VpState* s, Op* op)
    {
        var segment = (Segment)op->Dst;
        if (segment == Segment.Cs || segment > Segment.Gs)
        {
            return Faults.UndefinedOpcode(s, op);
        }

        return HandlerTools.Read16(s, op, op->Src, out ushort selector) && Segments.LoadData(s, segment, selector)
            ? Loaded(s, op, segment)
            : null;
    }

    public static Op* MovFromSegment<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (op->Src > (byte)Segment.Gs)
        {
            return Faults.UndefinedOpcode(s, op);
        }

        return HandlerTools.WriteSelector<T>(s, op, VpState.Seg(s, (Segment)op->Src)->Selector) ? op + 1 : null;
    }

    public static Op* Pop16(VpState* s, Op* op) => Pop(s, op, 2);

    public static Op* Pop32(VpState* s, Op* op) => Pop(s, op, 4);

    public static Op* Pop64(VpState* s, Op* op) => Pop(s, op, 8);

    public static Op* Push16(VpState* s, Op* op) => Push(s, op, 2);

    public static Op* Push32(VpState* s, Op* op) => Push(s, op, 4);

    public static Op* Push64(VpState* s, Op* op) => Push(s, op, 8);

    public static Op* LoadFar16(VpState* s, Op* op)
        => Operand.Address(s, op, out ulong linear, 4, false) && GuestAccess.Load(s, linear, out uint pointer)
            ? LoadFar(s, op, (ushort)(pointer >> 16), (ushort)pointer, 2)
            : null;

    public static Op* LoadFar32(VpState* s, Op* op)
        => Operand.Address(s, op, out ulong linear, 6, false)
            && GuestAccess.Load(s, linear, out uint offset) && GuestAccess.Load(s, linear + 4, out ushort selector)
            ? LoadFar(s, op, selector, offset, 4)
            : null;

    public static Op* LoadFar64(VpState* s, Op* op)
        => Operand.Address(s, op, out ulong linear, 10, false)
            && GuestAccess.Load(s, linear, out ulong offset) && GuestAccess.Load(s, linear + 8, out ushort selector)
            ? LoadFar(s, op, selector, offset, 8)
            : null;

    private static Op* Pop(VpState* s, Op* op, int bytes)
    {
        var segment = (Segment)op->Dst;
        var stack = new StackFrame(s);
        if (!stack.Pop(bytes, out ulong selector) || !Segments.LoadData(s, segment, (ushort)selector))
        {
            return null;
        }

        // POP SS: the stack pointer moves by the size the old stack had.
        stack.Commit();
        return Loaded(s, op, segment);
    }

    private static Op* Push(VpState* s, Op* op, int bytes)
    {
        var stack = new StackFrame(s);
        if (!stack.Push(bytes, VpState.Seg(s, (Segment)op->Dst)->Selector))
        {
            return null;
        }

        stack.Commit();
        return op + 1;
    }

    private static Op* LoadFar(VpState* s, Op* op, ushort selector, ulong offset, int bytes)
    {
        Segment segment = (Iced.Intel.Code)op->Code switch
        {
            Iced.Intel.Code.Les_r16_m1616 or Iced.Intel.Code.Les_r32_m1632 => Segment.Es,
            Iced.Intel.Code.Lds_r16_m1616 or Iced.Intel.Code.Lds_r32_m1632 => Segment.Ds,
            Iced.Intel.Code.Lss_r16_m1616 or Iced.Intel.Code.Lss_r32_m1632 or Iced.Intel.Code.Lss_r64_m1664 => Segment.Ss,
            Iced.Intel.Code.Lfs_r16_m1616 or Iced.Intel.Code.Lfs_r32_m1632 or Iced.Intel.Code.Lfs_r64_m1664 => Segment.Fs,
            _ => Segment.Gs,
        };
        if (!Segments.LoadData(s, segment, selector))
        {
            return null;
        }

        if (bytes == 2)
        {
            Operand.WriteReg16(s, op->Dst, (ushort)offset);
        }
        else
        {
            s->Gpr[op->Dst] = offset;
        }

        return HandlerTools.EndBlock(s, op);
    }

    private static Op* Loaded(VpState* s, Op* op, Segment segment)
    {
        if (segment == Segment.Ss)
        {
            // Interrupts and traps wait for the MOV to ESP that follows (Intel SDM Vol. 3A, 6.8.3).
            s->InterruptShadow = InterruptShadow.MovSs;
        }

        return HandlerTools.EndBlock(s, op);
    }
}

// LAR, LSL, VERR, VERW, ARPL: Intel SDM Vol. 2, Vol. 3A, 5.10.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

internal static unsafe class InspectionHandlers
{
    public static Op* Lar<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (!HandlerTools.ProtectedOnly(s)
            || !HandlerTools.Read16(s, op, op->Src, out ushort selector)
            || !Find(s, selector, out Descriptor descriptor, out bool found))
        {
            return null;
        }

        bool visible = found && Visible(s, selector, descriptor) && (!descriptor.IsSystem || LarKnows(s, descriptor.Type));
        if (visible)
        {
            Write<T>(s, op, (uint)(descriptor.Low >> 32) & 0x00FF_FF00);
        }

        Flags.SetZero(s, visible);
        return op + 1;
    }

    public static Op* Lsl<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (!HandlerTools.ProtectedOnly(s)
            || !HandlerTools.Read16(s, op, op->Src, out ushort selector)
            || !Find(s, selector, out Descriptor descriptor, out bool found))
        {
            return null;
        }

        bool visible = found && Visible(s, selector, descriptor) && (!descriptor.IsSystem || LslKnows(s, descriptor.Type));
        if (visible)
        {
            Write<T>(s, op, descriptor.Limit);
        }

        Flags.SetZero(s, visible);
        return op + 1;
    }

    public static Op* Verr(VpState* s, Op* op) => Verify(s, op, write: false);

    public static Op* Verw(VpState* s, Op* op) => Verify(s, op, write: true);

    public static Op* Arpl(VpState* s, Op* op)
    {
        if (!HandlerTools.ProtectedOnly(s))
        {
            return null;
        }

        ushort destination = (ushort)s->Gpr[op->Dst];
        ulong linear = 0;
        bool memory = (op->Flags & OpFlags.Memory) != 0;
        if (memory && (!Operand.Address(s, op, out linear, 2, true) || !GuestAccess.LoadForWrite(s, linear, out destination)))
        {
            return null;
        }

        int rpl = (int)s->Gpr[op->Src] & 3;
        bool raise = (destination & 3) < rpl;
        if (raise)
        {
            destination = (ushort)((destination & ~3) | rpl);
            if (!memory)
            {
                Operand.WriteReg16(s, op->Dst, destination);
            }
            else if (!GuestAccess.Store(s, linear, destination))
            {
                return null;
            }
        }

        Flags.SetZero(s, raise);
        return op + 1;
    }

    private static Op* Verify(VpState* s, Op* op, bool write)
    {
        if (!HandlerTools.ProtectedOnly(s)
            || !HandlerTools.Read16(s, op, op->Dst, out ushort selector)
            || !Find(s, selector, out Descriptor descriptor, out bool found))
        {
            return null;
        }

        bool allowed = found && !descriptor.IsSystem && Visible(s, selector, descriptor)
            && (write ? descriptor.IsWritableData : descriptor.IsReadable);
        Flags.SetZero(s, allowed);
        return op + 1;
    }

    // Outside the tables is an answer, not a fault; a page fault on the way is one.
    private static bool Find(VpState* s, ushort selector, out Descriptor descriptor, out bool found)
    {
        descriptor = default;
        found = false;
        if (Segments.IsNull(selector) || !Segments.Locate(s, selector, 8, out ulong linear))
        {
            return true;
        }

        if (!GuestAccess.LoadSystem(s, linear, out ulong low))
        {
            return false;
        }

        descriptor = new Descriptor(low, 0);
        found = true;
        return true;
    }

    private static bool Visible(VpState* s, ushort selector, Descriptor descriptor)
        => descriptor.IsConforming || (descriptor.Dpl >= s->Cpl && descriptor.Dpl >= (selector & 3));

    private static bool LarKnows(VpState* s, int type)
        => Segments.IsLongMode(s)
            ? type is Descriptor.Ldt or Descriptor.Tss32 or Descriptor.Tss32Busy or Descriptor.CallGate32
            : type is 1 or 2 or 3 or 4 or 5 or 9 or 11 or 12;

    private static bool LslKnows(VpState* s, int type)
        => Segments.IsLongMode(s)
            ? type is Descriptor.Ldt or Descriptor.Tss32 or Descriptor.Tss32Busy
            : type is 1 or 2 or 3 or 9 or 11;

    private static void Write<T>(VpState* s, Op* op, uint value)
        where T : unmanaged
    {
        if (sizeof(T) == 2)
        {
            Operand.WriteReg16(s, op->Dst, (ushort)value);
        }
        else
        {
            s->Gpr[op->Dst] = value;
        }
    }
}

// Descriptor table registers, LDTR, TR and the machine status word: Intel SDM Vol. 2, Vol. 3A, 2.4.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

internal static unsafe class TableHandlers
{
    public static Op* Lgdt(VpState* s, Op* op) => Load(s, op, &s->Gdtr);

    public static Op* Lidt(VpState* s, Op* op) => Load(s, op, &s->Idtr);

    public static Op* Sgdt(VpState* s, Op* op) => Store(s, op, s->Gdtr);

    public static Op* Sidt(VpState* s, Op* op) => Store(s, op, s->Idtr);

    public static Op* Lldt(VpState* s, Op* op)
        => HandlerTools.ProtectedOnly(s) && HandlerTools.Privileged(s)
            && HandlerTools.Read16(s, op, op->Dst, out ushort selector) && Segments.LoadLdt(s, selector)
            ? HandlerTools.EndBlock(s, op)
            : null;

    public static Op* Ltr(VpState* s, Op* op)
        => HandlerTools.ProtectedOnly(s) && HandlerTools.Privileged(s)
            && HandlerTools.Read16(s, op, op->Dst, out ushort selector) && Segments.LoadTaskRegister(s, selector)
            ? HandlerTools.EndBlock(s, op)
            : null;

    public static Op* Sldt<T>(VpState* s, Op* op)
        where T : unmanaged
        => HandlerTools.ProtectedOnly(s) && HandlerTools.UmipAllows(s)
            && HandlerTools.WriteSelector<T>(s, op, VpState.Seg(s, Segment.Ldtr)->Selector)
            ? op + 1
            : null;

    public static Op* Str<T>(VpState* s, Op* op)
        where T : unmanaged
        => HandlerTools.ProtectedOnly(s) && HandlerTools.UmipAllows(s)
            && HandlerTools.WriteSelector<T>(s, op, VpState.Seg(s, Segment.Tr)->Selector)
            ? op + 1
            : null;

    public static Op* Smsw<T>(VpState* s, Op* op)
        where T : unmanaged
        => HandlerTools.UmipAllows(s) && HandlerTools.WriteSelector<T>(s, op, s->Cr0) ? op + 1 : null;

    private static Op* Load(VpState* s, Op* op, DescriptorTableRegister* table)
    {
        bool wide = (op->Flags & OpFlags.Long) != 0;
        if (!HandlerTools.Privileged(s)
            || !Operand.Address(s, op, out ulong linear, wide ? 10u : 6u, false)
            || !GuestAccess.Load(s, linear, out ushort limit))
        {
            return null;
        }

        ulong address;
        if (wide)
        {
            if (!GuestAccess.Load(s, linear + 2, out address))
            {
                return null;
            }

            if (!Segments.IsCanonical(address))
            {
                return Faults.GeneralProtection(s, op);
            }
        }
        else
        {
            if (!GuestAccess.Load(s, linear + 2, out uint low))
            {
                return null;
            }

            // A 16-bit operand size loads a 24-bit base.
            bool narrow = (Iced.Intel.Code)op->Code is Iced.Intel.Code.Lgdt_m1632_16 or Iced.Intel.Code.Lidt_m1632_16;
            address = narrow ? low & 0xFF_FFFF : low;
        }

        table->Base = address;
        table->Limit = limit;
        return HandlerTools.EndBlock(s, op);
    }

    private static Op* Store(VpState* s, Op* op, DescriptorTableRegister table)
    {
        bool wide = (op->Flags & OpFlags.Long) != 0;
        if (!HandlerTools.UmipAllows(s) || !Operand.Address(s, op, out ulong linear, wide ? 10u : 6u, true))
        {
            return null;
        }

        // The whole operand is probed first: a fault leaves nothing half stored.
        bool stored = wide
            ? GuestAccess.LoadForWrite(s, linear + 2, out ulong _) && GuestAccess.Store(s, linear, (ushort)table.Limit)
                && GuestAccess.Store(s, linear + 2, table.Base)
            : GuestAccess.LoadForWrite(s, linear + 2, out uint _) && GuestAccess.Store(s, linear, (ushort)table.Limit)
                && GuestAccess.Store(s, linear + 2, (uint)table.Base);
        return stored ? op + 1 : null;
    }
}

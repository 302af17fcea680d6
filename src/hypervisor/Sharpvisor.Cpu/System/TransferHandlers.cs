// Handlers of far transfers and software interrupts; the work is in FarTransfer, FarReturn and Exceptions.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

internal static unsafe class TransferHandlers
{
    public static Op* JmpFar16(VpState* s, Op* op) => Go(s, op, 2, call: false);

    public static Op* JmpFar32(VpState* s, Op* op) => Go(s, op, 4, call: false);

    public static Op* JmpFar64(VpState* s, Op* op) => Go(s, op, 8, call: false);

    public static Op* CallFar16(VpState* s, Op* op) => Go(s, op, 2, call: true);

    public static Op* CallFar32(VpState* s, Op* op) => Go(s, op, 4, call: true);

    public static Op* CallFar64(VpState* s, Op* op) => Go(s, op, 8, call: true);

    public static Op* Retf16(VpState* s, Op* op) => Ret(s, op, 2);

    public static Op* Retf32(VpState* s, Op* op) => Ret(s, op, 4);

    public static Op* Retf64(VpState* s, Op* op) => Ret(s, op, 8);

    public static Op* Iret16(VpState* s, Op* op) => Iret(s, op, 2);

    public static Op* Iret32(VpState* s, Op* op) => Iret(s, op, 4);

    public static Op* Iret64(VpState* s, Op* op) => Iret(s, op, 8);

    public static Op* Int(VpState* s, Op* op) => FarReturn.VirtualMayTouchIf(s)
        ? Software(s, op, (byte)op->Immediate)
        : Faults.GeneralProtection(s, op);

    public static Op* Int3(VpState* s, Op* op) => Software(s, op, Vector.BP);

    public static Op* Into(VpState* s, Op* op)
        => (Flags.Read(s) & RFlag.OF) != 0 ? Software(s, op, Vector.OF) : HandlerTools.EndBlock(s, op);

    public static Op* Int1(VpState* s, Op* op)
    {
        // Traps that waited behind MOV SS are this #DB's causes too, not another #DB.
        uint waiting = EngineBlock.Of(s)->BreakpointHits;
        EngineBlock.Of(s)->BreakpointHits = 0;
        s->Rip = HandlerTools.NextRip(s, op);
        Exceptions.DeliverDebugTrap(Vp.Of(s), waiting);
        return null;
    }

    private static Op* Software(VpState* s, Op* op, byte vector)
    {
        s->Rip = HandlerTools.NextRip(s, op);
        Exceptions.DeliverSoftware(Vp.Of(s), vector, HandlerTools.ThisRip(s, op));
        return null;
    }

    private static Op* Go(VpState* s, Op* op, int bytes, bool call)
    {
        ushort selector;
        ulong offset;
        if ((op->Flags & OpFlags.Memory) == 0)
        {
            selector = (ushort)(op->Immediate >> 32);
            offset = (uint)op->Immediate;
        }
        else if (!ReadPointer(s, op, bytes, out selector, out offset))
        {
            return null;
        }

        ulong next = HandlerTools.NextRip(s, op);
        EngineBlock.Of(s)->NextRip = next;
        _ = FarTransfer.Go(s, selector, offset, bytes, call, next);
        return null;
    }

    private static bool ReadPointer(VpState* s, Op* op, int bytes, out ushort selector, out ulong offset)
    {
        selector = 0;
        offset = 0;
        if (!Operand.Address(s, op, out ulong linear, (uint)bytes + 2, false))
        {
            return false;
        }

        bool loaded;
        switch (bytes)
        {
            case 2:
                loaded = GuestAccess.Load(s, linear, out ushort word);
                offset = word;
                break;
            case 4:
                loaded = GuestAccess.Load(s, linear, out uint dword);
                offset = dword;
                break;
            default:
                loaded = GuestAccess.Load(s, linear, out offset);
                break;
        }

        return loaded && GuestAccess.Load(s, linear + (uint)bytes, out selector);
    }

    private static Op* Ret(VpState* s, Op* op, int bytes)
    {
        int release = (Iced.Intel.Code)op->Code is Iced.Intel.Code.Retfw_imm16 or Iced.Intel.Code.Retfd_imm16 or Iced.Intel.Code.Retfq_imm16
            ? (ushort)op->Immediate
            : 0;
        _ = FarReturn.Ret(s, bytes, release);
        return null;
    }

    private static Op* Iret(VpState* s, Op* op, int bytes)
    {
        EngineBlock.Of(s)->NextRip = HandlerTools.NextRip(s, op);
        _ = FarReturn.Iret(s, bytes);
        return null;
    }
}

// IN and OUT: Intel SDM Vol. 1, 19.5 (IOPL and the I/O permission bitmap).
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

internal static unsafe class PortHandlers
{
    public static Op* InImmediate8(VpState* s, Op* op) => In(s, op, (byte)op->Immediate, 1);

    public static Op* InImmediate16(VpState* s, Op* op) => In(s, op, (byte)op->Immediate, 2);

    public static Op* InImmediate32(VpState* s, Op* op) => In(s, op, (byte)op->Immediate, 4);

    public static Op* InDx8(VpState* s, Op* op) => In(s, op, (ushort)s->Gpr[2], 1);

    public static Op* InDx16(VpState* s, Op* op) => In(s, op, (ushort)s->Gpr[2], 2);

    public static Op* InDx32(VpState* s, Op* op) => In(s, op, (ushort)s->Gpr[2], 4);

    public static Op* OutImmediate8(VpState* s, Op* op) => Out(s, op, (byte)op->Immediate, 1);

    public static Op* OutImmediate16(VpState* s, Op* op) => Out(s, op, (byte)op->Immediate, 2);

    public static Op* OutImmediate32(VpState* s, Op* op) => Out(s, op, (byte)op->Immediate, 4);

    public static Op* OutDx8(VpState* s, Op* op) => Out(s, op, (ushort)s->Gpr[2], 1);

    public static Op* OutDx16(VpState* s, Op* op) => Out(s, op, (ushort)s->Gpr[2], 2);

    public static Op* OutDx32(VpState* s, Op* op) => Out(s, op, (ushort)s->Gpr[2], 4);

    /// <summary>May this CPL use the ports? False: a fault is recorded.</summary>
    public static bool Allowed(VpState* s, ushort port, int bytes)
    {
        // Virtual-8086 mode asks the bitmap whatever IOPL is (Intel SDM Vol. 3A, 21.2.7).
        bool privileged = s->Cpl <= ((s->RFlags & RFlag.IOPL) >> 12) && !Segments.IsVirtual8086(s);
        if (!Segments.IsProtected(s) || privileged)
        {
            return true;
        }

        SegmentRegister* tr = VpState.Seg(s, Segment.Tr);
        bool wide = (tr->Attributes & 8) != 0;
        if (!wide || tr->Limit < 103 || !GuestAccess.LoadSystem(s, tr->Base + 102, out ushort map))
        {
            return EngineBlock.Of(s)->Fault.Pending == 0 && Faults.Record(s, Vector.GP, 0);
        }

        // Two bytes are read always, so the bitmap needs one byte after its end.
        uint offset = map + ((uint)port >> 3);
        if (offset + 1 > tr->Limit)
        {
            return Faults.Record(s, Vector.GP, 0);
        }

        if (!GuestAccess.LoadSystem(s, tr->Base + offset, out ushort bits))
        {
            return false;
        }

        int mask = ((1 << bytes) - 1) << (port & 7);
        return (bits & mask) == 0 || Faults.Record(s, Vector.GP, 0);
    }

    private static Op* In(VpState* s, Op* op, ushort port, int bytes)
    {
        if (!Allowed(s, port, bytes))
        {
            return null;
        }

        DebugRegisters.MatchIo(s, port, bytes);
        s->Rip = HandlerTools.ThisRip(s, op);
        uint value = Vp.Of(s).Intercepts.ReadPort(port, bytes);
        switch (bytes)
        {
            case 1:
                Operand.Write8(s, 0, false, (byte)value);
                break;
            case 2:
                Operand.WriteReg16(s, 0, (ushort)value);
                break;
            default:
                Operand.WriteReg32(s, 0, value);
                break;
        }

        return HandlerTools.EndBlock(s, op);
    }

    private static Op* Out(VpState* s, Op* op, ushort port, int bytes)
    {
        if (!Allowed(s, port, bytes))
        {
            return null;
        }

        DebugRegisters.MatchIo(s, port, bytes);
        uint value = (uint)s->Gpr[0];
        value = bytes == 1 ? (byte)value : bytes == 2 ? (ushort)value : value;
        // A port can end the run (reset, power-off): RIP is past the instruction by then.
        s->Rip = HandlerTools.NextRip(s, op);
        Vp.Of(s).Intercepts.WritePort(port, bytes, value);
        return null;
    }
}

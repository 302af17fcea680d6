// What the system instruction handlers share: 16-bit operands, ends of blocks, privilege checks.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

internal static unsafe class HandlerTools
{
    /// <summary>RIP after the instruction, cut to the code size.</summary>
    public static ulong NextRip(VpState* s, Op* op)
    {
        ulong rip = s->Gpr[17] + op->PageOffset + op->Length;
        return (op->Flags & OpFlags.Long) != 0 ? rip
            : (VpState.Seg(s, Segment.Cs)->Attributes & SegAttr.Big) != 0 ? (uint)rip
            : (ushort)rip;
    }

    /// <summary>RIP of the instruction.</summary>
    public static ulong ThisRip(VpState* s, Op* op)
    {
        ulong rip = s->Gpr[17] + op->PageOffset;
        return (op->Flags & OpFlags.Long) != 0 ? rip
            : (VpState.Seg(s, Segment.Cs)->Attributes & SegAttr.Big) != 0 ? (uint)rip
            : (ushort)rip;
    }

    /// <summary>Leaves the block for the run loop, which looks at mode and events again.</summary>
    public static Op* EndBlock(VpState* s, Op* op)
    {
        s->Rip = NextRip(s, op);
        return null;
    }

    /// <summary>A 16-bit source, register or memory.</summary>
    public static bool Read16(VpState* s, Op* op, int register, out ushort value)
    {
        if ((op->Flags & OpFlags.Memory) == 0)
        {
            value = (ushort)s->Gpr[register];
            return true;
        }

        value = 0;
        return Operand.Address(s, op, out ulong linear, 2, false) && GuestAccess.Load(s, linear, out value);
    }

    /// <summary>A 16-bit value to memory, or zero-extended to a register of size T.</summary>
    public static bool WriteSelector<T>(VpState* s, Op* op, ulong value)
        where T : unmanaged
    {
        if ((op->Flags & OpFlags.Memory) != 0)
        {
            return Operand.Address(s, op, out ulong linear, 2, true) && GuestAccess.Store(s, linear, (ushort)value);
        }

        if (sizeof(T) == 2)
        {
            Operand.WriteReg16(s, op->Dst, (ushort)value);
        }
        else
        {
            s->Gpr[op->Dst] = sizeof(T) == 4 ? (uint)value : value;
        }

        return true;
    }

    /// <summary>CPL 0, else #GP(0) is recorded.</summary>
    public static bool Privileged(VpState* s) => s->Cpl == 0 || Faults.Record(s, Vector.GP, 0);

    /// <summary>CR4.UMIP forbids SGDT, SIDT, SLDT, STR and SMSW above CPL 0.</summary>
    public static bool UmipAllows(VpState* s)
        => s->Cpl == 0 || (s->Cr4 & Cr4.UMIP) == 0 || Faults.Record(s, Vector.GP, 0);

    /// <summary>Instructions that real and virtual-8086 mode do not know.</summary>
    public static bool ProtectedOnly(VpState* s) => !Segments.IsRealStyle(s) || Faults.Record(s, Vector.UD);
}

// Control and debug registers and the mode switches they make: Intel SDM Vol. 3A, 2.5, 4.1, 9.8.5, 9.9; Vol. 3B, 17.2.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.System;

internal static unsafe class ControlHandlers
{
    private const ulong Cr0Defined = Cr0.PE | Cr0.MP | Cr0.EM | Cr0.TS | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.AM | Cr0.NW | Cr0.CD | Cr0.PG;
    private const ulong Cr4FlushBits = Cr4.PSE | Cr4.PAE | Cr4.PGE | Cr4.PCIDE | Cr4.SMEP | Cr4.SMAP;
    private const ulong NoFlush = 1UL << 63;

    public static Op* MovFromCr(VpState* s, Op* op)
    {
        if (!HandlerTools.Privileged(s))
        {
            return null;
        }

        ulong value;
        switch (op->Src)
        {
            case 0:
                value = s->Cr0;
                break;
            case 2:
                value = s->Cr2;
                break;
            case 3:
                value = s->Cr3;
                break;
            case 4:
                value = s->Cr4;
                break;
            case 8 when (op->Flags & OpFlags.Long) != 0:
                value = Vp.Of(s).Intercepts.Cr8;
                break;
            default:
                return Faults.UndefinedOpcode(s, op);
        }

        s->Gpr[op->Dst] = (op->Flags & OpFlags.Long) != 0 ? value : (uint)value;
        return op + 1;
    }

    public static Op* MovToCr(VpState* s, Op* op)
    {
        if (op->Dst is not (0 or 2 or 3 or 4 or 8))
        {
            return Faults.UndefinedOpcode(s, op);
        }

        if (!HandlerTools.Privileged(s))
        {
            return null;
        }

        ulong value = s->Gpr[op->Src];
        if ((op->Flags & OpFlags.Long) == 0)
        {
            value = (uint)value;
        }

        bool written;
        switch (op->Dst)
        {
            case 0:
                written = WriteCr0(s, value);
                break;
            case 2:
                s->Cr2 = value;
                return HandlerTools.EndBlock(s, op);
            case 3:
                written = WriteCr3(s, value);
                break;
            case 4:
                written = WriteCr4(s, value);
                break;
            default:
                written = value <= 15;
                if (written)
                {
                    Vp.Of(s).Intercepts.Cr8 = (byte)value;
                }

                break;
        }

        return written ? HandlerTools.EndBlock(s, op) : Faults.GeneralProtection(s, op);
    }

    public static Op* Lmsw(VpState* s, Op* op)
    {
        if (!HandlerTools.Privileged(s) || !HandlerTools.Read16(s, op, op->Dst, out ushort value))
        {
            return null;
        }

        // LMSW can set PE but not clear it.
        ulong cr0 = (s->Cr0 & ~(Cr0.MP | Cr0.EM | Cr0.TS)) | (value & (Cr0.PE | Cr0.MP | Cr0.EM | Cr0.TS));
        return WriteCr0(s, cr0) ? HandlerTools.EndBlock(s, op) : Faults.GeneralProtection(s, op);
    }

    public static Op* Clts(VpState* s, Op* op)
    {
        if (!HandlerTools.Privileged(s))
        {
            return null;
        }

        s->Cr0 &= ~Cr0.TS;
        return HandlerTools.EndBlock(s, op);
    }

    public static Op* MovFromDr(VpState* s, Op* op)
    {
        if (!DebugRegister(s, op->Src, out int index))
        {
            return null;
        }

        ulong value = index == 6 ? s->Dr[6] | DebugRegisters.Dr6Fixed : index == 7 ? s->Dr[7] | 0x400 : s->Dr[index];
        s->Gpr[op->Dst] = (op->Flags & OpFlags.Long) != 0 ? value : (uint)value;
        return op + 1;
    }

    public static Op* MovToDr(VpState* s, Op* op)
    {
        if (!DebugRegister(s, op->Dst, out int index))
        {
            return null;
        }

        ulong value = s->Gpr[op->Src];
        if ((op->Flags & OpFlags.Long) == 0)
        {
            value = (uint)value;
        }

        if (index >= 6 && value > uint.MaxValue)
        {
            return Faults.GeneralProtection(s, op);
        }

        s->Dr[index] = index switch
        {
            6 => (value & 0xE00F) | DebugRegisters.Dr6Fixed,
            7 => (value & 0xFFFF_2BFF) | 0x400,
            _ => value,
        };
        Vp.Of(s).Mmu.UpdateContext();
        return HandlerTools.EndBlock(s, op);
    }

    /// <summary>False: the value must not be loaded (#GP).</summary>
    internal static bool WriteCr0(VpState* s, ulong value)
    {
        ulong old = s->Cr0;
        bool valid = value >> 32 == 0
            && ((value & Cr0.PG) == 0 || (value & Cr0.PE) != 0)
            && ((value & Cr0.NW) == 0 || (value & Cr0.CD) != 0);
        if (!valid)
        {
            return false;
        }

        value = (value & Cr0Defined) | Cr0.ET;
        bool paging = (value & Cr0.PG) != 0;
        if (paging && (old & Cr0.PG) == 0)
        {
            if ((s->Efer & Efer.LME) != 0)
            {
                bool longAllowed = (s->Cr4 & Cr4.PAE) != 0
                    && (VpState.Seg(s, Segment.Cs)->Attributes & SegAttr.Long) == 0;
                if (!longAllowed)
                {
                    return false;
                }

                s->Efer |= Efer.LMA;
            }
            else if ((s->Cr4 & Cr4.PAE) != 0 && !PointersValid(s, s->Cr3))
            {
                return false;
            }
        }
        else if (!paging && (old & Cr0.PG) != 0)
        {
            if ((s->Cr4 & Cr4.PCIDE) != 0 || Segments.Is64Bit(s))
            {
                return false;
            }

            s->Efer &= ~Efer.LMA;
        }

        s->Cr0 = value;
        Vp vp = Vp.Of(s);
        if (((old ^ value) & (Cr0.PE | Cr0.PG | Cr0.WP)) != 0)
        {
            vp.Mmu.FlushAll();
        }

        if ((value & Cr0.PE) == 0)
        {
            s->Cpl = 0;
        }

        vp.Mmu.UpdateContext();
        vp.ModeChanged();
        return true;
    }

    internal static bool WriteCr3(VpState* s, ulong value)
    {
        if (Segments.IsLongMode(s))
        {
            if ((s->Cr4 & Cr4.PCIDE) != 0)
            {
                // PCIDs are not kept apart in the TLB, so the no-flush bit cannot be honoured: flushing more is allowed.
                value &= ~NoFlush;
            }

            if (value >> CpuModel.PhysicalAddressBits != 0)
            {
                return false;
            }
        }
        else
        {
            value = (uint)value;
            bool pae = (s->Cr0 & Cr0.PG) != 0 && (s->Cr4 & Cr4.PAE) != 0;
            if (pae && !PointersValid(s, value))
            {
                return false;
            }
        }

        s->Cr3 = value;
        Vp.Of(s).Mmu.FlushNonGlobal();
        return true;
    }

    internal static bool WriteCr4(VpState* s, ulong value)
    {
        ulong old = s->Cr4;
        if ((value & ~CpuModel.Cr4Allowed) != 0)
        {
            return false;
        }

        bool longMode = Segments.IsLongMode(s);
        bool valid = (!longMode || (value & Cr4.PAE) != 0)
            && ((value & ~old & Cr4.PCIDE) == 0 || (longMode && (s->Cr3 & 0xFFF) == 0));
        if (!valid)
        {
            return false;
        }

        bool pointers = (s->Cr0 & Cr0.PG) != 0 && !longMode && (value & Cr4.PAE) != 0
            && ((old ^ value) & (Cr4.PAE | Cr4.PGE | Cr4.PSE | Cr4.SMEP)) != 0;
        if (pointers && !PointersValid(s, s->Cr3))
        {
            return false;
        }

        s->Cr4 = value;
        Vp vp = Vp.Of(s);
        if (((old ^ value) & Cr4FlushBits) != 0)
        {
            vp.Mmu.FlushAll();
        }

        vp.Mmu.UpdateContext();
        vp.ModeChanged();
        return true;
    }

    // 4.4.1: loading CR3 under PAE paging checks the four page-directory pointers.
    private static bool PointersValid(VpState* s, ulong cr3)
    {
        GuestMemory memory = Vp.Of(s).Memory;
        for (uint i = 0; i < 4; i++)
        {
            if (memory.TryRead((cr3 & 0xFFFF_FFE0) + (i * 8), out ulong pointer)
                && (pointer & 1) != 0
                && (pointer & (CpuModel.ReservedPhysicalBits | 0xFFF0_0000_0000_01E6)) != 0)
            {
                return false;
            }
        }

        return true;
    }

    private static bool DebugRegister(VpState* s, int number, out int index)
    {
        index = number;
        if (number is 4 or 5)
        {
            if ((s->Cr4 & Cr4.DE) != 0)
            {
                return Faults.Record(s, Vector.UD);
            }

            index += 2;
        }

        if (number > 7)
        {
            return Faults.Record(s, Vector.UD);
        }

        if (!HandlerTools.Privileged(s))
        {
            return false;
        }

        return (s->Dr[7] & DebugRegisters.GeneralDetect) == 0 || Faults.RecordDebug(s, DebugRegisters.AccessDetected);
    }
}

// The system instructions that are not about segments, transfers or control registers; Intel SDM Vol. 2.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

internal static unsafe class MiscHandlers
{
    public static Op* Hypercall(VpState* s, Op* op)
    {
        // The hypervisor sees and changes architectural state: flags materialised, RIP of the instruction.
        ulong next = HandlerTools.NextRip(s, op);
        s->Rip = HandlerTools.ThisRip(s, op);
        s->RFlags = Flags.Read(s);
        bool known = Vp.Of(s).Intercepts.Hypercall();
        s->Gpr[16] = 0;
        if (!known)
        {
            return Faults.UndefinedOpcode(s, op);
        }

        Flags.Write(s, s->RFlags);
        s->Rip = next;
        return null;
    }

    public static Op* Invlpg(VpState* s, Op* op)
    {
        if (!HandlerTools.Privileged(s))
        {
            return null;
        }

        ulong linear = Operand.Effective(s, op);
        bool is64 = (op->Flags & OpFlags.Long) != 0;
        if (!is64 || op->Segment >= (byte)Segment.Fs)
        {
            linear += VpState.Seg(s, (Segment)op->Segment)->Base;
        }

        linear = is64 ? linear : (uint)linear;
        if (Segments.IsCanonical(linear))
        {
            Vp.Of(s).Mmu.InvalidatePage(linear);
        }

        return HandlerTools.EndBlock(s, op);
    }

    public static Op* Invpcid(VpState* s, Op* op)
    {
        if (!HandlerTools.Privileged(s))
        {
            return null;
        }

        ulong type = (op->Flags & OpFlags.Long) != 0 ? s->Gpr[op->Dst] : (uint)s->Gpr[op->Dst];
        if (!Operand.Address(s, op, out ulong linear, 16, false)
            || !GuestAccess.Load(s, linear, out ulong pcid) || !GuestAccess.Load(s, linear + 8, out ulong address))
        {
            return null;
        }

        bool pcidEnabled = (s->Cr4 & Cr4.PCIDE) != 0;
        bool valid = type <= 3
            && (type >= 2 || (pcid >> 12 == 0 && (pcidEnabled || pcid == 0)))
            && (type != 0 || Segments.IsCanonical(address));
        if (!valid)
        {
            return Faults.GeneralProtection(s, op);
        }

        SoftMmu mmu = Vp.Of(s).Mmu;
        switch (type)
        {
            case 0:
                mmu.InvalidatePage(address);
                break;
            case 2:
                mmu.FlushAll();
                break;
            default:
                mmu.FlushNonGlobal();
                break;
        }

        return HandlerTools.EndBlock(s, op);
    }

    /// <summary>WBINVD, INVD: there are no caches to write back.</summary>
    public static Op* PrivilegedNop(VpState* s, Op* op) => HandlerTools.Privileged(s) ? op + 1 : null;

    public static Op* Hlt(VpState* s, Op* op)
    {
        if (!HandlerTools.Privileged(s))
        {
            return null;
        }

        Vp.Of(s).Halted = true;
        return HandlerTools.EndBlock(s, op);
    }

    public static Op* Cli(VpState* s, Op* op)
    {
        if (!IoPrivileged(s))
        {
            return Faults.GeneralProtection(s, op);
        }

        s->RFlags &= ~RFlag.IF;
        return op + 1;
    }

    public static Op* Sti(VpState* s, Op* op)
    {
        if (!IoPrivileged(s))
        {
            return Faults.GeneralProtection(s, op);
        }

        if ((s->RFlags & RFlag.IF) == 0)
        {
            s->RFlags |= RFlag.IF;
            s->InterruptShadow = InterruptShadow.Sti;
        }

        return HandlerTools.EndBlock(s, op);
    }

    public static Op* Clac(VpState* s, Op* op) => SetAc(s, op, 0);

    public static Op* Stac(VpState* s, Op* op) => SetAc(s, op, RFlag.AC);

    public static Op* Xgetbv(VpState* s, Op* op)
    {
        if ((s->Cr4 & Cr4.OSXSAVE) == 0)
        {
            return Faults.UndefinedOpcode(s, op);
        }

        // XCR0, and with ECX = 1 the components in use: all that are enabled, which XSAVEC and XSAVES may assume.
        if ((uint)s->Gpr[1] > 1)
        {
            return Faults.GeneralProtection(s, op);
        }

        s->Gpr[0] = (uint)s->Xcr0;
        s->Gpr[2] = s->Xcr0 >> 32;
        return op + 1;
    }

    public static Op* Xsetbv(VpState* s, Op* op)
    {
        if ((s->Cr4 & Cr4.OSXSAVE) == 0)
        {
            return Faults.UndefinedOpcode(s, op);
        }

        ulong value = (s->Gpr[2] << 32) | (uint)s->Gpr[0];
        if (s->Cpl != 0 || (uint)s->Gpr[1] != 0 || (value & 1) == 0 || (value & ~CpuModel.Xcr0Allowed) != 0)
        {
            return Faults.GeneralProtection(s, op);
        }

        s->Xcr0 = value;
        return HandlerTools.EndBlock(s, op);
    }

    public static Op* Rdtsc(VpState* s, Op* op)
    {
        if (!TscAllowed(s))
        {
            return Faults.GeneralProtection(s, op);
        }

        ulong tsc = Msrs.ReadTsc(s);
        s->Gpr[0] = (uint)tsc;
        s->Gpr[2] = tsc >> 32;
        return op + 1;
    }

    public static Op* Rdtscp(VpState* s, Op* op)
    {
        if (Rdtsc(s, op) == null)
        {
            return null;
        }

        s->Gpr[1] = (uint)s->TscAux;
        return op + 1;
    }

    public static Op* Rdpid(VpState* s, Op* op)
    {
        s->Gpr[op->Dst] = (uint)s->TscAux;
        return op + 1;
    }

    public static Op* Rdpmc(VpState* s, Op* op) => Faults.GeneralProtection(s, op);

    public static Op* Cpuid(VpState* s, Op* op)
    {
        CpuidResult result = Vp.Of(s).Intercepts.Cpuid((uint)s->Gpr[0], (uint)s->Gpr[1]);
        s->Gpr[0] = result.Eax;
        s->Gpr[3] = result.Ebx;
        s->Gpr[1] = result.Ecx;
        s->Gpr[2] = result.Edx;
        return op + 1;
    }

    public static Op* Rdmsr(VpState* s, Op* op)
    {
        if (s->Cpl != 0 || !Msrs.TryRead(s, (uint)s->Gpr[1], out ulong value))
        {
            return Faults.GeneralProtection(s, op);
        }

        s->Gpr[0] = (uint)value;
        s->Gpr[2] = value >> 32;
        return op + 1;
    }

    public static Op* Wrmsr(VpState* s, Op* op)
    {
        ulong value = (s->Gpr[2] << 32) | (uint)s->Gpr[0];
        return s->Cpl == 0 && Msrs.TryWrite(s, (uint)s->Gpr[1], value)
            ? HandlerTools.EndBlock(s, op)
            : Faults.GeneralProtection(s, op);
    }

    private static Op* SetAc(VpState* s, Op* op, ulong ac)
    {
        // Intel SDM Vol. 2A, CLAC: the feature must exist, not be on.
        if (s->Cpl != 0)
        {
            return Faults.UndefinedOpcode(s, op);
        }

        s->RFlags = (s->RFlags & ~RFlag.AC) | ac;
        Vp.Of(s).Mmu.UpdateContext();
        return op + 1;
    }

    private static bool IoPrivileged(VpState* s)
        => !Segments.IsProtected(s) || s->Cpl <= ((s->RFlags & RFlag.IOPL) >> 12);

    private static bool TscAllowed(VpState* s) => (s->Cr4 & Cr4.TSD) == 0 || s->Cpl == 0 || !Segments.IsProtected(s);
}

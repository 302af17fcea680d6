// SYSCALL, SYSRET, SYSENTER, SYSEXIT as on Intel: Intel SDM Vol. 2 and Vol. 3A, 5.8.7 and 5.8.8.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.System;

internal static unsafe class SyscallHandlers
{
    private const ushort Code64 = 0xA9B;
    private const ushort Code32 = 0xC9B;
    private const ushort Data = 0xC93;
    private const ushort Dpl3 = 0x60;

    public static Op* Syscall(VpState* s, Op* op)
    {
        if ((op->Flags & OpFlags.Long) == 0 || (s->Efer & Efer.SCE) == 0)
        {
            return Faults.UndefinedOpcode(s, op);
        }

        ulong flags = Flags.Read(s) & ~RFlag.RF;
        s->Gpr[1] = HandlerTools.NextRip(s, op);
        s->Gpr[11] = flags;
        Flags.Write(s, flags & ~s->Sfmask);
        Load(s, (ushort)(s->Star >> 32) & 0xFFFC, Code64, ((ushort)(s->Star >> 32) & 0xFFFC) + 8, 0);
        s->Rip = s->Lstar;
        Segments.ContextChanged(s);
        return null;
    }

    public static Op* Sysret32(VpState* s, Op* op)
        => Sysret(s, op, (ushort)(s->Star >> 48) | 3, Code32, (uint)s->Gpr[1]);

    public static Op* Sysret64(VpState* s, Op* op)
        => Sysret(s, op, ((ushort)(s->Star >> 48) + 16) | 3, Code64, s->Gpr[1]);

    public static Op* Sysenter(VpState* s, Op* op)
    {
        if (!Segments.IsProtected(s) || (s->SysenterCs & 0xFFFC) == 0)
        {
            return Faults.GeneralProtection(s, op);
        }

        bool wide = Segments.IsLongMode(s);
        s->RFlags &= ~(RFlag.VM | RFlag.IF | RFlag.RF);
        int cs = (int)s->SysenterCs & 0xFFFC;
        Load(s, cs, wide ? Code64 : Code32, cs + 8, 0);
        s->Gpr[4] = wide ? s->SysenterEsp : (uint)s->SysenterEsp;
        s->Rip = wide ? s->SysenterEip : (uint)s->SysenterEip;
        Segments.ContextChanged(s);
        return null;
    }

    public static Op* Sysexit32(VpState* s, Op* op)
        => Sysexit(s, op, 16, Code32, (uint)s->Gpr[2], (uint)s->Gpr[1]);

    public static Op* Sysexit64(VpState* s, Op* op)
        => Sysexit(s, op, 32, Code64, s->Gpr[2], s->Gpr[1]);

    private static Op* Sysret(VpState* s, Op* op, int cs, ushort code, ulong rip)
    {
        if ((op->Flags & OpFlags.Long) == 0 || (s->Efer & Efer.SCE) == 0)
        {
            return Faults.UndefinedOpcode(s, op);
        }

        // Intel checks RCX before it leaves CPL 0 (Linux relies on IRET for such RCX: arch/x86/entry/entry_64.S).
        if (s->Cpl != 0 || !Segments.IsCanonical(rip))
        {
            return Faults.GeneralProtection(s, op);
        }

        const ulong settable = 0x3C_7FD7;
        Flags.Write(s, s->Gpr[11] & settable);
        Load(s, cs, (ushort)(code | Dpl3), ((ushort)(s->Star >> 48) + 8) | 3, 3);
        s->Rip = rip;
        Segments.ContextChanged(s);
        return null;
    }

    private static Op* Sysexit(VpState* s, Op* op, int offset, ushort code, ulong rip, ulong rsp)
    {
        bool valid = Segments.IsProtected(s) && s->Cpl == 0 && (s->SysenterCs & 0xFFFC) != 0
            && Segments.IsCanonical(rip) && Segments.IsCanonical(rsp);
        if (!valid)
        {
            return Faults.GeneralProtection(s, op);
        }

        int cs = ((int)s->SysenterCs & 0xFFFC) + offset;
        Load(s, cs | 3, (ushort)(code | Dpl3), (cs + 8) | 3, 3);
        s->Gpr[4] = rsp;
        s->Rip = rip;
        Segments.ContextChanged(s);
        return null;
    }

    private static void Load(VpState* s, int cs, ushort code, int ss, uint cpl)
    {
        SegmentRegister* c = VpState.Seg(s, Segment.Cs);
        c->Selector = (ushort)cs;
        c->Base = 0;
        c->Limit = uint.MaxValue;
        c->Attributes = code;
        SegmentRegister* stack = VpState.Seg(s, Segment.Ss);
        stack->Selector = (ushort)ss;
        stack->Base = 0;
        stack->Limit = uint.MaxValue;
        stack->Attributes = (ushort)(Data | (cpl << SegAttr.DplShift));
        s->Cpl = cpl;
    }
}

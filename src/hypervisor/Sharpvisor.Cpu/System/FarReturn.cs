// Far RET and IRET: Intel SDM Vol. 2B "RET", Vol. 2A "IRET/IRETD/IRETQ".
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.System;

/// <summary>Returns by CS:RIP from the stack. False: a fault is recorded and nothing changed.</summary>
internal static unsafe class FarReturn
{
    /// <param name="bytes">Operand size: 2, 4 or 8.</param>
    /// <param name="release">Parameter bytes that RETF imm16 releases.</param>
    public static bool Ret(VpState* s, int bytes, int release)
    {
        var stack = new StackFrame(s);
        if (!stack.Pop(bytes, out ulong rip) || !stack.Pop(bytes, out ulong cs))
        {
            return false;
        }

        stack.Skip(release);
        if (Segments.IsRealStyle(s))
        {
            return ReturnReal(s, ref stack, (ushort)cs, rip);
        }

        ushort selector = (ushort)cs;
        if (!ReadCode(s, selector, rip, out Descriptor code))
        {
            return false;
        }

        uint rpl = selector & 3u;
        if (rpl == s->Cpl)
        {
            stack.Commit();
            Enter(s, selector, code, rip);
            return true;
        }

        return stack.Pop(bytes, out ulong rsp) && stack.Pop(bytes, out ulong ss)
            && ReturnOuter(s, selector, code, rip, (ushort)ss, rsp, release);
    }

    /// <summary>IRET of the given operand size.</summary>
    public static bool Iret(VpState* s, int bytes)
    {
        var stack = new StackFrame(s);
        bool protectedMode = !Segments.IsRealStyle(s);
        ulong rflags = Flags.Read(s);
        if (!VirtualMayTouchIf(s))
        {
            return Faults.Record(s, Vector.GP, 0);
        }

        if (protectedMode && (rflags & RFlag.NT) != 0)
        {
            return Segments.IsLongMode(s) ? Faults.Record(s, Vector.GP, 0) : TaskReturn(s);
        }

        if (!stack.Pop(bytes, out ulong rip) || !stack.Pop(bytes, out ulong cs) || !stack.Pop(bytes, out ulong flags))
        {
            return false;
        }

        ulong mask = FlagsMask(s, bytes);
        if (!protectedMode)
        {
            if (!ReturnReal(s, ref stack, (ushort)cs, rip))
            {
                return false;
            }

            return Finish(s, rflags, flags, mask);
        }

        if (bytes == 4 && (flags & RFlag.VM) != 0 && s->Cpl == 0 && !Segments.IsLongMode(s))
        {
            return ReturnVirtual(s, ref stack, (ushort)cs, rip, flags);
        }

        ushort selector = (ushort)cs;
        if (!ReadCode(s, selector, rip, out Descriptor code))
        {
            return false;
        }

        if ((selector & 3u) == s->Cpl && !Segments.Is64Bit(s))
        {
            stack.Commit();
            Enter(s, selector, code, rip);
            return Finish(s, rflags, flags, mask);
        }

        return stack.Pop(bytes, out ulong rsp) && stack.Pop(bytes, out ulong ss)
            && ReturnOuter(s, selector, code, rip, (ushort)ss, rsp, 0)
            && Finish(s, rflags, flags, mask);
    }

    /// <summary>False: virtual-8086 mode with an IOPL below 3, where INT n and IRET are #GP(0) (Intel SDM Vol. 3A, 21.2.8).</summary>
    public static bool VirtualMayTouchIf(VpState* s)
        => !Segments.IsVirtual8086(s) || (s->RFlags & RFlag.IOPL) == RFlag.IOPL;

    /// <summary>Flags that IRET and POPF of this size may change at the current CPL.</summary>
    public static ulong FlagsMask(VpState* s, int bytes)
    {
        ulong mask = RFlag.Arithmetic | RFlag.TF | RFlag.DF | RFlag.NT;
        if (bytes >= 4)
        {
            mask |= RFlag.RF | RFlag.AC | RFlag.ID;
        }

        bool realMode = !Segments.IsProtected(s);
        if (realMode || s->Cpl == 0)
        {
            mask |= RFlag.IOPL;
        }

        if (realMode || s->Cpl <= ((s->RFlags & RFlag.IOPL) >> 12))
        {
            mask |= RFlag.IF;
        }

        return mask;
    }

    private static bool Finish(VpState* s, ulong old, ulong flags, ulong mask)
    {
        Flags.Write(s, (old & ~mask) | (flags & mask));
        s->NmiBlocked = 0;
        s->InterruptShadow = 0;
        Segments.ContextChanged(s);
        return true;
    }

    // Vol. 2A, IRET, RETURN-TO-VIRTUAL-8086-MODE: the stack holds ESP, SS, ES, DS, FS and GS as well.
    private static bool ReturnVirtual(VpState* s, ref StackFrame stack, ushort cs, ulong rip, ulong flags)
    {
        ReadOnlySpan<Segment> order = [Segment.Ss, Segment.Es, Segment.Ds, Segment.Fs, Segment.Gs];
        Span<ushort> selectors = stackalloc ushort[5];
        if (!stack.Pop(4, out ulong esp))
        {
            return false;
        }

        for (int i = 0; i < order.Length; i++)
        {
            if (!stack.Pop(4, out ulong selector))
            {
                return false;
            }

            selectors[i] = (ushort)selector;
        }

        Segments.FillVirtual(VpState.Seg(s, Segment.Cs), cs);
        for (int i = 0; i < order.Length; i++)
        {
            Segments.FillVirtual(VpState.Seg(s, order[i]), selectors[i]);
        }

        s->Gpr[4] = (uint)esp;
        s->Rip = (ushort)rip;
        s->Cpl = 3;
        return Finish(s, 2, flags, RFlag.Defined);
    }

    private static bool ReturnReal(VpState* s, ref StackFrame stack, ushort selector, ulong rip)
    {
        SegmentRegister* cs = VpState.Seg(s, Segment.Cs);
        if (rip > cs->Limit)
        {
            return Faults.Record(s, Vector.GP, 0);
        }

        stack.Commit();
        Segments.FillReal(cs, selector);
        s->Rip = rip;
        Segments.ContextChanged(s);
        return true;
    }

    private static bool ReadCode(VpState* s, ushort selector, ulong rip, out Descriptor code)
    {
        code = default;
        if (Segments.IsNull(selector))
        {
            return Faults.Record(s, Vector.GP, 0);
        }

        if (!Segments.Read(s, selector, Vector.GP, 0, out code))
        {
            return false;
        }

        uint rpl = selector & 3u;
        bool allowed = code.IsCode && rpl >= s->Cpl && (code.IsConforming ? code.Dpl <= rpl : code.Dpl == rpl)
            && !(Segments.IsLongMode(s) && code.IsLong && code.IsBig);
        if (!allowed)
        {
            return Faults.Record(s, Vector.GP, Segments.Error(selector, 0));
        }

        if (!code.Present)
        {
            return Faults.Record(s, Vector.NP, Segments.Error(selector, 0));
        }

        bool inside = Segments.IsLongMode(s) && code.IsLong ? Segments.IsCanonical(rip) : rip <= code.Limit;
        return (inside || Faults.Record(s, Vector.GP, 0)) && Segments.MarkAccessed(s, selector, ref code);
    }

    private static void Enter(VpState* s, ushort selector, Descriptor code, ulong rip)
    {
        Segments.Fill(VpState.Seg(s, Segment.Cs), selector, code);
        s->Rip = rip;
        Segments.ContextChanged(s);
    }

    private static bool ReturnOuter(VpState* s, ushort selector, Descriptor code, ulong rip, ushort ss, ulong rsp, int release)
    {
        uint rpl = selector & 3u;
        bool to64 = Segments.IsLongMode(s) && code.IsLong;
        Descriptor stack = default;
        bool isNull = Segments.IsNull(ss);
        if (isNull)
        {
            if (!to64 || rpl == 3 || (ss & 3u) != rpl)
            {
                return Faults.Record(s, Vector.GP, 0);
            }
        }
        else if (!Segments.LoadStack(s, ss, rpl, Vector.GP, 0, out stack, out _))
        {
            return false;
        }

        bool outer = rpl > s->Cpl;
        Segments.CommitStack(s, ss, stack, isNull);
        s->Cpl = rpl;
        Segments.Fill(VpState.Seg(s, Segment.Cs), selector, code);
        s->Rip = rip;
        if (to64)
        {
            s->Gpr[4] = rsp + (uint)release;
        }
        else if (stack.IsBig)
        {
            s->Gpr[4] = (uint)rsp + (uint)release;
        }
        else
        {
            s->Gpr[4] = (s->Gpr[4] & ~0xFFFFUL) | (ushort)((uint)rsp + (uint)release);
        }

        if (outer)
        {
            Segments.DropInaccessible(s);
        }

        Segments.ContextChanged(s);
        return true;
    }

    // Vol. 3A, 8.4: the link of the current TSS names the task to go back to.
    private static bool TaskReturn(VpState* s)
    {
        SegmentRegister* tr = VpState.Seg(s, Segment.Tr);
        return Mmu.GuestAccess.LoadSystem(s, (uint)tr->Base, out ushort link)
            && TaskSwitch.Perform(s, link, TaskSwitch.Reason.Return, EngineRip(s), 0, false);
    }

    private static ulong EngineRip(VpState* s) => Mmu.EngineBlock.Of(s)->NextRip;
}

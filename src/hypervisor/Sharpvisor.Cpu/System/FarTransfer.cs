// Far CALL and JMP: Intel SDM Vol. 2A "CALL", "JMP"; Vol. 3A, 5.8 and 8.3.
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

/// <summary>Far transfers forward. On success RIP, CS and the stack are the target's; false: a fault is recorded and nothing changed.</summary>
internal static unsafe class FarTransfer
{
    /// <param name="bytes">Operand size: 2, 4 or 8.</param>
    /// <param name="nextRip">The return address of a call.</param>
    public static bool Go(VpState* s, ushort selector, ulong offset, int bytes, bool call, ulong nextRip)
    {
        if (Segments.IsRealStyle(s))
        {
            return GoReal(s, selector, offset, bytes, call, nextRip);
        }

        if (Segments.IsNull(selector))
        {
            return Faults.Record(s, Vector.GP, 0);
        }

        if (!Segments.Read(s, selector, Vector.GP, 0, out Descriptor target))
        {
            return false;
        }

        if (target.IsSystem)
        {
            return GoSystem(s, selector, target, call, nextRip);
        }

        bool allowed = target.IsCode
            && (target.IsConforming ? target.Dpl <= s->Cpl : (selector & 3) <= s->Cpl && target.Dpl == s->Cpl);
        if (!allowed)
        {
            return Faults.Record(s, Vector.GP, Segments.Error(selector, 0));
        }

        return CheckCode(s, selector, target) && GoCode(s, selector, target, offset, bytes, call, nextRip);
    }

    private static bool GoReal(VpState* s, ushort selector, ulong offset, int bytes, bool call, ulong nextRip)
    {
        SegmentRegister* cs = VpState.Seg(s, Segment.Cs);
        if (offset > cs->Limit)
        {
            return Faults.Record(s, Vector.GP, 0);
        }

        if (call)
        {
            var stack = new StackFrame(s);
            if (!stack.Push(bytes, cs->Selector) || !stack.Push(bytes, nextRip))
            {
                return false;
            }

            stack.Commit();
        }

        Segments.FillReal(cs, selector);
        s->Rip = offset;
        Segments.ContextChanged(s);
        return true;
    }

    private static bool CheckCode(VpState* s, ushort selector, Descriptor target)
    {
        if (Segments.IsLongMode(s) && target.IsLong && target.IsBig)
        {
            return Faults.Record(s, Vector.GP, Segments.Error(selector, 0));
        }

        return target.Present || Faults.Record(s, Vector.NP, Segments.Error(selector, 0));
    }

    private static bool CheckTarget(VpState* s, Descriptor target, ulong offset)
    {
        bool inside = Segments.IsLongMode(s) && target.IsLong ? Segments.IsCanonical(offset) : offset <= target.Limit;
        return inside || Faults.Record(s, Vector.GP, 0);
    }

    private static bool GoCode(VpState* s, ushort selector, Descriptor target, ulong offset, int bytes, bool call, ulong nextRip)
    {
        SegmentRegister* cs = VpState.Seg(s, Segment.Cs);
        if (!CheckTarget(s, target, offset))
        {
            return false;
        }

        var stack = new StackFrame(s);
        if (call && (!stack.Push(bytes, cs->Selector) || !stack.Push(bytes, nextRip)))
        {
            return false;
        }

        if (!Segments.MarkAccessed(s, selector, ref target))
        {
            return false;
        }

        if (call)
        {
            stack.Commit();
        }

        Segments.Fill(cs, (ushort)((selector & ~3u) | s->Cpl), target);
        s->Rip = offset;
        Segments.ContextChanged(s);
        return true;
    }

    private static bool GoSystem(VpState* s, ushort selector, Descriptor gate, bool call, ulong nextRip)
    {
        bool longMode = Segments.IsLongMode(s);
        bool callGate = gate.Type == Descriptor.CallGate32 || (gate.Type == Descriptor.CallGate16 && !longMode);
        bool task = !longMode && gate.Type is Descriptor.TaskGate or Descriptor.Tss16 or Descriptor.Tss32;
        if ((!callGate && (!task || longMode)) || gate.Dpl < s->Cpl || gate.Dpl < (selector & 3))
        {
            return Faults.Record(s, Vector.GP, Segments.Error(selector, 0));
        }

        if (!gate.Present)
        {
            return Faults.Record(s, Vector.NP, Segments.Error(selector, 0));
        }

        if (callGate)
        {
            return CallGate(s, selector, gate, call, nextRip);
        }

        ushort tss = gate.Type == Descriptor.TaskGate ? gate.GateSelector : selector;
        return TaskSwitch.Perform(s, tss, call ? TaskSwitch.Reason.Call : TaskSwitch.Reason.Jump, nextRip, 0, false);
    }

    private static bool CallGate(VpState* s, ushort gateSelector, Descriptor gate, bool call, ulong nextRip)
    {
        bool longMode = Segments.IsLongMode(s);
        if (longMode && !Segments.ReadHigh(s, gateSelector, Vector.GP, 0, ref gate))
        {
            return false;
        }

        ushort selector = gate.GateSelector;
        if (Segments.IsNull(selector))
        {
            return Faults.Record(s, Vector.GP, 0);
        }

        if (!Segments.Read(s, selector, Vector.GP, 0, out Descriptor code))
        {
            return false;
        }

        bool inner = call && !code.IsConforming && code.Dpl < s->Cpl;
        bool allowed = code.IsCode && code.Dpl <= s->Cpl && (call || code.IsConforming || code.Dpl == s->Cpl)
            && (!longMode || (code.IsLong && !code.IsBig));
        if (!allowed)
        {
            return Faults.Record(s, Vector.GP, Segments.Error(selector, 0));
        }

        if (!code.Present)
        {
            return Faults.Record(s, Vector.NP, Segments.Error(selector, 0));
        }

        ulong offset = gate.Type == Descriptor.CallGate16 ? gate.GateOffset16 : longMode ? gate.GateOffset64 : gate.GateOffset32;
        int bytes = longMode ? 8 : gate.Type == Descriptor.CallGate32 ? 4 : 2;
        if (!inner)
        {
            return GoCode(s, selector, code, offset, bytes, call, nextRip);
        }

        uint oldCpl = s->Cpl;
        bool done = longMode
            ? InnerLong(s, selector, code, offset, nextRip)
            : InnerLegacy(s, selector, code, gate.GateParameters, offset, bytes, nextRip);
        if (!done)
        {
            Segments.SetCpl(s, oldCpl);
            return false;
        }

        Segments.ContextChanged(s);
        return true;
    }

    private static bool InnerLong(VpState* s, ushort selector, Descriptor code, ulong offset, ulong nextRip)
    {
        uint cpl = (uint)code.Dpl;
        SegmentRegister* ss = VpState.Seg(s, Segment.Ss);
        SegmentRegister* cs = VpState.Seg(s, Segment.Cs);
        if (!Exceptions.LongStack(s, 4 + (cpl * 8), 0, out ulong rsp) || !CheckTarget(s, code, offset))
        {
            return false;
        }

        Segments.SetCpl(s, cpl);
        if (!GuestAccess.Store(s, rsp - 8, (ulong)ss->Selector)
            || !GuestAccess.Store(s, rsp - 16, s->Gpr[4])
            || !GuestAccess.Store(s, rsp - 24, (ulong)cs->Selector)
            || !GuestAccess.Store(s, rsp - 32, nextRip)
            || !Segments.MarkAccessed(s, selector, ref code))
        {
            return false;
        }

        s->Gpr[4] = rsp - 32;
        Segments.FillNull(ss, (ushort)cpl, cpl);
        Segments.Fill(cs, (ushort)((selector & ~3u) | cpl), code);
        s->Rip = offset;
        return true;
    }

    private static bool InnerLegacy(VpState* s, ushort selector, Descriptor code, int parameters, ulong offset, int bytes, ulong nextRip)
    {
        uint cpl = (uint)code.Dpl;
        if (!Exceptions.InnerStack(s, cpl, 0, out ushort stackSelector, out uint esp, out Descriptor descriptor)
            || !CheckTarget(s, code, offset))
        {
            return false;
        }

        // At most 31 parameters: read at the caller's privilege before the switch.
        ulong* copied = stackalloc ulong[32];
        var outer = new StackFrame(s);
        for (int i = 0; i < parameters; i++)
        {
            if (!outer.Peek(bytes, i * bytes, out copied[i]))
            {
                return false;
            }
        }

        SegmentRegister old = *VpState.Seg(s, Segment.Ss);
        ulong oldRsp = s->Gpr[4];
        SegmentRegister inner;
        Segments.Fill(&inner, stackSelector, descriptor);
        Segments.SetCpl(s, cpl);
        var stack = new StackFrame(s, inner, esp, Segments.Error(stackSelector, 0));
        if (!stack.Push(bytes, old.Selector) || !stack.Push(bytes, oldRsp))
        {
            return false;
        }

        for (int i = parameters - 1; i >= 0; i--)
        {
            if (!stack.Push(bytes, copied[i]))
            {
                return false;
            }
        }

        SegmentRegister* cs = VpState.Seg(s, Segment.Cs);
        if (!stack.Push(bytes, cs->Selector) || !stack.Push(bytes, nextRip) || !Segments.MarkAccessed(s, selector, ref code))
        {
            return false;
        }

        *VpState.Seg(s, Segment.Ss) = inner;
        stack.Commit();
        Segments.Fill(cs, (ushort)((selector & ~3u) | cpl), code);
        s->Rip = offset;
        return true;
    }
}

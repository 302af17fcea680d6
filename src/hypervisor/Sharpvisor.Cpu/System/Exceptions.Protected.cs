// Delivery through 16- and 32-bit gates outside long mode: Intel SDM Vol. 3A, 6.12.
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

internal static unsafe partial class Exceptions
{
    private static bool ProtectedMode(Vp vp, ref Event e)
    {
        VpState* s = vp.State;
        uint offset = (uint)e.Vector * 8;
        if (offset + 7 > s->Idtr.Limit)
        {
            return Faults.Record(s, Vector.GP, e.IdtError);
        }

        if (!GuestAccess.LoadSystem(s, (uint)(s->Idtr.Base + offset), out ulong low))
        {
            return false;
        }

        var gate = new Descriptor(low, 0);
        bool known = gate.IsSystem && gate.Type is Descriptor.TaskGate or Descriptor.InterruptGate16 or Descriptor.TrapGate16
            or Descriptor.InterruptGate32 or Descriptor.TrapGate32;
        if (!known || !gate.IsSystem || (e.Software && gate.Dpl < s->Cpl))
        {
            return Faults.Record(s, Vector.GP, e.IdtError);
        }

        if (!gate.Present)
        {
            return Faults.Record(s, Vector.NP, e.IdtError);
        }

        if (gate.Type == Descriptor.TaskGate)
        {
            return TaskGate(vp, gate.GateSelector, e);
        }

        if (!HandlerCode(s, gate.GateSelector, e, out Descriptor code, out uint cpl))
        {
            return false;
        }

        int bytes = gate.Type >= Descriptor.CallGate32 ? 4 : 2;
        if (Segments.IsVirtual8086(s) && cpl != 0)
        {
            // Vol. 3A, 21.3.1: the handler of virtual-8086 mode runs at CPL 0.
            return Faults.Record(s, Vector.GP, Segments.Error(gate.GateSelector, e.Ext));
        }

        return cpl < s->Cpl
            ? InnerFrame(s, e, gate, code, cpl, bytes)
            : SameLevelFrame(s, e, gate, code, bytes);
    }

    private static bool SameLevelFrame(VpState* s, in Event e, Descriptor gate, Descriptor code, int bytes)
    {
        var stack = new StackFrame(s);
        return PushReturn(s, ref stack, e, bytes) && FinishLegacy(s, ref stack, gate, code, s->Cpl, bytes);
    }

    private static bool InnerFrame(VpState* s, in Event e, Descriptor gate, Descriptor code, uint cpl, int bytes)
    {
        if (!InnerStack(s, cpl, e.Ext, out ushort selector, out uint esp, out Descriptor descriptor))
        {
            return false;
        }

        SegmentRegister old = *VpState.Seg(s, Segment.Ss);
        ulong oldRsp = s->Gpr[4];
        SegmentRegister inner;
        Segments.Fill(&inner, selector, descriptor);
        Segments.SetCpl(s, cpl);
        var stack = new StackFrame(s, inner, esp, Segments.Error(selector, e.Ext));
        bool fromVirtual = Segments.IsVirtual8086(s);
        if ((fromVirtual && !PushSegments(s, ref stack, bytes)) || !stack.Push(bytes, old.Selector) || !stack.Push(bytes, oldRsp) || !PushReturn(s, ref stack, e, bytes))
        {
            return false;
        }

        *VpState.Seg(s, Segment.Ss) = inner;
        if (fromVirtual)
        {
            foreach (Segment segment in (ReadOnlySpan<Segment>)[Segment.Gs, Segment.Fs, Segment.Ds, Segment.Es])
            {
                Segments.FillNull(VpState.Seg(s, segment), 0);
            }
        }

        return FinishLegacy(s, ref stack, gate, code, cpl, bytes);
    }

    private static bool PushSegments(VpState* s, ref StackFrame stack, int bytes)
        => stack.Push(bytes, VpState.Seg(s, Segment.Gs)->Selector) && stack.Push(bytes, VpState.Seg(s, Segment.Fs)->Selector)
            && stack.Push(bytes, VpState.Seg(s, Segment.Ds)->Selector) && stack.Push(bytes, VpState.Seg(s, Segment.Es)->Selector);

    private static bool PushReturn(VpState* s, ref StackFrame stack, in Event e, int bytes)
    {
        ulong flags = Flags.Read(s) | (e.ResumeFlag ? RFlag.RF : 0);
        return stack.Push(bytes, flags)
            && stack.Push(bytes, VpState.Seg(s, Segment.Cs)->Selector)
            && stack.Push(bytes, e.ReturnRip)
            && (!e.HasErrorCode || stack.Push(bytes, e.ErrorCode));
    }

    private static bool FinishLegacy(VpState* s, ref StackFrame stack, Descriptor gate, Descriptor code, uint cpl, int bytes)
    {
        uint rip = bytes == 4 ? gate.GateOffset32 : gate.GateOffset16;
        if (rip > code.Limit)
        {
            return Faults.Record(s, Vector.GP, 0);
        }

        stack.Commit();
        Segments.Fill(VpState.Seg(s, Segment.Cs), (ushort)((gate.GateSelector & ~3u) | cpl), code);
        EnterHandler(s, (gate.Type & 1) == 0, rip);
        return true;
    }

    /// <summary>SSn:ESPn of the current legacy TSS.</summary>
    internal static bool InnerStack(VpState* s, uint cpl, uint ext, out ushort selector, out uint esp, out Descriptor descriptor)
    {
        SegmentRegister* tr = VpState.Seg(s, Segment.Tr);
        bool wide = (tr->Attributes & 8) != 0;
        uint offset = wide ? 4 + (cpl * 8) : 2 + (cpl * 4);
        selector = 0;
        esp = 0;
        descriptor = default;
        if (offset + (wide ? 5u : 3u) > tr->Limit)
        {
            return Faults.Record(s, Vector.TS, Segments.Error(tr->Selector, ext));
        }

        ulong linear = (uint)(tr->Base + offset);
        if (wide)
        {
            if (!GuestAccess.LoadSystem(s, linear, out esp) || !GuestAccess.LoadSystem(s, linear + 4, out selector))
            {
                return false;
            }
        }
        else
        {
            if (!GuestAccess.LoadSystem(s, linear, out ushort sp) || !GuestAccess.LoadSystem(s, linear + 2, out selector))
            {
                return false;
            }

            esp = sp;
        }

        return Segments.LoadStack(s, selector, cpl, Vector.TS, ext, out descriptor, out _);
    }

    private static bool TaskGate(Vp vp, ushort selector, in Event e)
    {
        VpState* s = vp.State;
        if (Segments.IsNull(selector) || (selector & 4) != 0)
        {
            return Faults.Record(s, Vector.GP, Segments.Error(selector, e.Ext));
        }

        if (!TaskSwitch.Perform(s, selector, TaskSwitch.Reason.Gate, e.ReturnRip, e.Ext, e.ResumeFlag))
        {
            return false;
        }

        if (!e.HasErrorCode)
        {
            return true;
        }

        var stack = new StackFrame(s);
        int bytes = (VpState.Seg(s, Segment.Tr)->Attributes & 8) != 0 ? 4 : 2;
        if (!stack.Push(bytes, e.ErrorCode))
        {
            return false;
        }

        stack.Commit();
        return true;
    }
}

// Delivery of exceptions and interrupts through the IVT (real mode) or IDT: Intel SDM Vol. 3A, chapter 6, and Vol. 3A, 20.1.4.
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

/// <summary>Delivers exceptions and interrupts. RIP in VP state must be exact on entry.</summary>
internal static unsafe partial class Exceptions
{
    /// <summary>What is being delivered.</summary>
    internal struct Event
    {
        public byte Vector;
        public bool HasErrorCode;
        public uint ErrorCode;
        /// <summary>INT n, INT3, INTO: gate DPL is checked and EXT is 0.</summary>
        public bool Software;
        /// <summary>Not an instruction's doing: vector classes do not apply.</summary>
        public bool External;
        /// <summary>RIP to return to.</summary>
        public ulong ReturnRip;
        /// <summary>RIP when delivery itself faults.</summary>
        public ulong FaultRip;
        /// <summary>Saved with RF set: the instruction is to be restarted without hitting its breakpoint again.</summary>
        public bool ResumeFlag;

        public readonly uint Ext => Software ? 0u : 1u;

        public readonly uint IdtError => ((uint)Vector << 3) | 2 | Ext;
    }

    /// <summary>Delivers <see cref="EngineBlock.Fault"/> (RIP: of the faulting instruction, or after it for traps), with #DF and triple fault.</summary>
    public static void Deliver(Vp vp)
    {
        VpState* s = vp.State;
        Event e = Take(vp, s->Rip);
        Run(vp, ref e);
    }

    /// <summary>An external interrupt.</summary>
    public static void DeliverInterrupt(Vp vp, byte vector)
    {
        ulong rip = vp.State->Rip;
        var e = new Event { Vector = vector, External = true, ReturnRip = rip, FaultRip = rip };
        Run(vp, ref e);
    }

    /// <summary>An NMI; sets <see cref="VpState.NmiBlocked"/> till the next IRET.</summary>
    public static void DeliverNmi(Vp vp)
    {
        ulong rip = vp.State->Rip;
        vp.State->NmiBlocked = 1;
        var e = new Event { Vector = Vector.NMI, External = true, ReturnRip = rip, FaultRip = rip };
        Run(vp, ref e);
    }

    /// <summary>INT n, INT3, INTO: gate privilege is checked. RIP: after the instruction; <paramref name="instructionRip"/>: of it, for faults.</summary>
    public static void DeliverSoftware(Vp vp, byte vector, ulong instructionRip)
    {
        var e = new Event { Vector = vector, Software = true, External = true, ReturnRip = vp.State->Rip, FaultRip = instructionRip };
        Run(vp, ref e);
    }

    /// <summary>INT1 and #DB traps: no privilege check. RIP: after the instruction.</summary>
    public static void DeliverDebugTrap(Vp vp, ulong dr6)
    {
        _ = Faults.RecordDebug(vp.State, dr6);
        Deliver(vp);
    }

    private static Event Take(Vp vp, ulong rip)
    {
        VpState* s = vp.State;
        PendingFault fault = EngineBlock.Of(s)->Fault;
        EngineBlock.Of(s)->Fault = default;
        if (fault.Vector == Vector.PF)
        {
            s->Cr2 = fault.Cr2;
        }
        else if (fault.Vector == Vector.DB)
        {
            s->Dr[6] = (s->Dr[6] & ~0xFUL) | fault.Dr6 | DebugRegisters.Dr6Fixed;
            s->Dr[7] &= ~DebugRegisters.GeneralDetect;
        }

        return new Event
        {
            Vector = fault.Vector,
            HasErrorCode = fault.HasErrorCode != 0,
            ErrorCode = fault.ErrorCode,
            ReturnRip = rip,
            FaultRip = rip,
            ResumeFlag = fault.Vector is not (Vector.DB or Vector.BP or Vector.OF),
        };
    }

    private static void Run(Vp vp, ref Event e)
    {
        VpState* s = vp.State;
        s->InterruptShadow = 0;
        vp.Halted = false;
        while (true)
        {
            uint cpl = s->Cpl;
            EngineBlock.Of(s)->Fault = default;
            bool delivered = !Segments.IsProtected(s) ? RealMode(s, e)
                : Segments.IsLongMode(s) ? LongMode(s, e)
                : ProtectedMode(vp, ref e);
            if (delivered)
            {
                Segments.ContextChanged(s);
                return;
            }

            Segments.SetCpl(s, cpl);
            if (e.Vector == Vector.DF && !e.External)
            {
                EngineBlock.Of(s)->Fault = default;
                vp.TripleFault = true;
                return;
            }

            Event second = Take(vp, e.FaultRip);
            if (!e.External && IsDoubleFault(e.Vector, second.Vector))
            {
                second = new Event { Vector = Vector.DF, HasErrorCode = true, ReturnRip = e.FaultRip, FaultRip = e.FaultRip };
            }

            e = second;
        }
    }

    // Intel SDM Vol. 3A, table 6-5.
    private static bool IsDoubleFault(byte first, byte second)
        => IsContributory(first) ? IsContributory(second)
            : first == Vector.PF && (second == Vector.PF || IsContributory(second));

    private static bool IsContributory(byte vector)
        => vector is Vector.DE or Vector.TS or Vector.NP or Vector.SS or Vector.GP;

    // Vol. 3A, 20.1.4: three words on the 16-bit stack.
    private static bool RealMode(VpState* s, in Event e)
    {
        uint entry = (uint)e.Vector * 4;
        if (entry + 3 > s->Idtr.Limit)
        {
            return Faults.Record(s, Vector.GP);
        }

        if (!GuestAccess.LoadSystem(s, (uint)(s->Idtr.Base + entry), out uint pointer))
        {
            return false;
        }

        SegmentRegister* cs = VpState.Seg(s, Segment.Cs);
        var stack = new StackFrame(s);
        if (!stack.Push(2, Flags.Read(s)) || !stack.Push(2, cs->Selector) || !stack.Push(2, e.ReturnRip))
        {
            return false;
        }

        stack.Commit();
        s->RFlags &= ~(RFlag.IF | RFlag.TF | RFlag.AC | RFlag.RF);
        Segments.FillReal(cs, (ushort)(pointer >> 16));
        s->Rip = pointer & 0xFFFF;
        return true;
    }

    // Vol. 3A, 6.14.
    private static bool LongMode(VpState* s, in Event e)
    {
        uint offset = (uint)e.Vector * 16;
        if (offset + 15 > s->Idtr.Limit)
        {
            return Faults.Record(s, Vector.GP, e.IdtError);
        }

        if (!GuestAccess.LoadSystem(s, s->Idtr.Base + offset, out ulong low)
            || !GuestAccess.LoadSystem(s, s->Idtr.Base + offset + 8, out ulong high))
        {
            return false;
        }

        var gate = new Descriptor(low, high & 0xFFFF_FFFF);
        if (!gate.IsSystem || gate.Type is not (Descriptor.InterruptGate32 or Descriptor.TrapGate32)
            || (e.Software && gate.Dpl < s->Cpl))
        {
            return Faults.Record(s, Vector.GP, e.IdtError);
        }

        if (!gate.Present)
        {
            return Faults.Record(s, Vector.NP, e.IdtError);
        }

        if (!HandlerCode(s, gate.GateSelector, e, out Descriptor code, out uint cpl))
        {
            return false;
        }

        if (!code.IsLong || code.IsBig)
        {
            return Faults.Record(s, Vector.GP, Segments.Error(gate.GateSelector, e.Ext));
        }

        ulong rsp = s->Gpr[4];
        if (gate.GateIst != 0 || cpl < s->Cpl)
        {
            uint slot = gate.GateIst != 0 ? 0x1Cu + ((uint)gate.GateIst * 8) : 4 + (cpl * 8);
            if (!LongStack(s, slot, e.Ext, out rsp))
            {
                return false;
            }
        }

        return LongFrame(s, e, gate, code, cpl, rsp);
    }

    private static bool LongFrame(VpState* s, in Event e, Descriptor gate, Descriptor code, uint cpl, ulong rsp)
    {
        SegmentRegister* ss = VpState.Seg(s, Segment.Ss);
        SegmentRegister* cs = VpState.Seg(s, Segment.Cs);
        ulong flags = Flags.Read(s) | (e.ResumeFlag ? RFlag.RF : 0);
        bool inner = cpl < s->Cpl;
        Segments.SetCpl(s, cpl);
        rsp &= ~0xFUL;
        if (!Segments.IsCanonical(rsp - 1) || !Segments.IsCanonical(rsp - 48))
        {
            return Faults.Record(s, Vector.SS, e.Ext);
        }

        ulong top = rsp;
        if (!GuestAccess.Store(s, top - 8, (ulong)ss->Selector)
            || !GuestAccess.Store(s, top - 16, s->Gpr[4])
            || !GuestAccess.Store(s, top - 24, flags)
            || !GuestAccess.Store(s, top - 32, (ulong)cs->Selector)
            || !GuestAccess.Store(s, top - 40, e.ReturnRip)
            || (e.HasErrorCode && !GuestAccess.Store(s, top - 48, (ulong)e.ErrorCode)))
        {
            return false;
        }

        ulong rip = gate.GateOffset64;
        if (!Segments.IsCanonical(rip))
        {
            return Faults.Record(s, Vector.GP, e.Ext);
        }

        s->Gpr[4] = top - (e.HasErrorCode ? 48u : 40u);
        Segments.Fill(cs, (ushort)((gate.GateSelector & ~3u) | cpl), code);
        if (inner)
        {
            Segments.FillNull(ss, (ushort)cpl, cpl);
        }

        EnterHandler(s, gate.Type == Descriptor.InterruptGate32, rip);
        return true;
    }

    private static void EnterHandler(VpState* s, bool interruptGate, ulong rip)
    {
        ulong clear = RFlag.TF | RFlag.NT | RFlag.RF | RFlag.VM | (interruptGate ? RFlag.IF : 0);
        s->RFlags &= ~clear;
        s->Rip = rip;
    }

    /// <summary>Checks the code segment of a handler; the new CPL.</summary>
    private static bool HandlerCode(VpState* s, ushort selector, in Event e, out Descriptor code, out uint cpl)
    {
        cpl = s->Cpl;
        code = default;
        if (Segments.IsNull(selector))
        {
            return Faults.Record(s, Vector.GP, e.Ext);
        }

        if (!Segments.Read(s, selector, Vector.GP, e.Ext, out code))
        {
            return false;
        }

        if (!code.IsCode || code.Dpl > s->Cpl)
        {
            return Faults.Record(s, Vector.GP, Segments.Error(selector, e.Ext));
        }

        if (!code.Present)
        {
            return Faults.Record(s, Vector.NP, Segments.Error(selector, e.Ext));
        }

        if (!code.IsConforming)
        {
            cpl = (uint)code.Dpl;
        }

        return Segments.MarkAccessed(s, selector, ref code);
    }

    /// <summary>A stack pointer from a 64-bit TSS.</summary>
    internal static bool LongStack(VpState* s, uint offset, uint ext, out ulong rsp)
    {
        SegmentRegister* tr = VpState.Seg(s, Segment.Tr);
        rsp = 0;
        if (offset + 7 > tr->Limit)
        {
            return Faults.Record(s, Vector.TS, Segments.Error(tr->Selector, ext));
        }

        return GuestAccess.LoadSystem(s, tr->Base + offset, out rsp)
            && (Segments.IsCanonical(rsp) || Faults.Record(s, Vector.SS, ext));
    }
}

// Running one instruction at a time: RFLAGS.TF, interrupt shadows and whatever DR7 enables
// (Intel SDM Vol. 3A, 6.8.3; Vol. 3B, 17.2 and 17.3.1). Nothing here runs otherwise.
using Iced.Intel;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

internal sealed unsafe partial class Vp
{
    /// <summary>Before an instruction: does it run alone, and is there a breakpoint on it?</summary>
    /// <returns>False: an execution breakpoint's #DB is recorded.</returns>
    private bool PrepareStep(VpState* s, out bool single)
    {
        if ((_engine->Stepping & EngineBlock.StepsForExecution) != 0 && s->InterruptShadow != InterruptShadow.MovSs)
        {
            uint hits = DebugRegisters.MatchExecution(s, LinearRip(s));
            if (hits != 0)
            {
                single = true;
                return Faults.RecordDebug(s, hits);
            }
        }

        // RF protects one instruction (17.3.1.1). A fault in it saves RF as set again.
        s->RFlags &= ~Flags.RF;
        single = ((s->RFlags & Flags.TF) | s->InterruptShadow | _engine->Stepping) != 0;
        return true;
    }

    private void StepOne(VpState* s, Op* op)
    {
        bool trap = (s->RFlags & Flags.TF) != 0;
        uint shadow = s->InterruptShadow;
        s->InterruptShadow = 0;
        ulong rip = RipOf(s, op);
        var code = (Code)op->Code;
        Op* next = op->Handler(s, op);
        _lazy->Instructions++;
        if (_engine->Fault.Pending != 0)
        {
            DeliverFault(s, op, rip);
            return;
        }

        if (next != null)
        {
            s->Rip = RipOf(s, next);
        }

        // An instruction that sets the shadow anew within a shadow does not extend it (STI; STI).
        if (shadow != 0)
        {
            s->InterruptShadow = 0;
        }

        // TF as it was before the instruction traps, so POPF traps once more; but there is no trap where an instruction
        // enters a handler that runs with TF clear.
        trap = trap && ((s->RFlags & Flags.TF) != 0 || !EntersHandler(code));
        ulong causes = (trap ? DebugRegisters.SingleStep : 0) | _engine->BreakpointHits;
        if (causes != 0 && s->InterruptShadow != InterruptShadow.MovSs)
        {
            _engine->BreakpointHits = 0;
            Halted = false;
            Faults.RecordDebug(s, causes);
            Exceptions.Deliver(this);
        }
    }

    private static bool EntersHandler(Code code) =>
        code is Code.Int_imm8 or Code.Int3 or Code.Into or Code.Int1 or Code.Syscall;

    private static ulong LinearRip(VpState* s) =>
        Segments.Is64Bit(s) ? s->Rip : (uint)(VpState.Seg(s, Segment.Cs)->Base + s->Rip);
}

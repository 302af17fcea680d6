// Register values after power-up and INIT: Intel SDM Vol. 3A, table 9-1.
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.System;

internal static unsafe class PowerOn
{
    private const ushort RealCode = 0x9B;
    private const ushort RealData = 0x93;

    /// <summary>INIT keeps the FPU, vector registers, most MSRs, MTRRs and the TSC; power-up clears all.</summary>
    public static void Reset(VpState* s, bool powerOn)
    {
        for (int i = 0; i < 18; i++)
        {
            s->Gpr[i] = 0;
        }

        s->Gpr[2] = CpuModel.Cpuid(s, 1, 0).Eax;
        s->Rip = 0xFFF0;
        s->RFlags = 2;
        s->Cpl = 0;
        s->InterruptShadow = 0;
        s->NmiBlocked = 0;
        for (int i = 0; i < 6; i++)
        {
            *VpState.Seg(s, (Segment)i) = new SegmentRegister { Limit = 0xFFFF, Attributes = RealData };
        }

        *VpState.Seg(s, Segment.Cs) = new SegmentRegister
        {
            Selector = 0xF000,
            Base = 0xFFFF_0000,
            Limit = 0xFFFF,
            Attributes = RealCode,
        };
        *VpState.Seg(s, Segment.Ldtr) = new SegmentRegister { Limit = 0xFFFF, Attributes = 0x82 };
        *VpState.Seg(s, Segment.Tr) = new SegmentRegister { Limit = 0xFFFF, Attributes = 0x8B };
        s->Gdtr = new DescriptorTableRegister { Limit = 0xFFFF };
        s->Idtr = new DescriptorTableRegister { Limit = 0xFFFF };
        // INIT leaves CD and NW as they are.
        s->Cr0 = Cr0.ET | (powerOn ? Cr0.CD | Cr0.NW : s->Cr0 & (Cr0.CD | Cr0.NW));
        s->Cr2 = 0;
        s->Cr3 = 0;
        s->Cr4 = 0;
        s->Efer = 0;
        for (int i = 0; i < 4; i++)
        {
            s->Dr[i] = 0;
        }

        s->Dr[6] = DebugRegisters.Dr6Fixed;
        s->Dr[7] = 0x400;
        if (powerOn)
        {
            ResetMachine(s);
        }
    }

    /// <summary>The engine's part: call after <see cref="Reset"/>.</summary>
    public static void Synchronise(Vp vp)
    {
        vp.Halted = false;
        vp.TripleFault = false;
        Mmu.EngineBlock* block = Mmu.EngineBlock.Of(vp.State);
        block->Fault = default;
        block->BreakpointHits = 0;
        Flags.Write(vp.State, vp.State->RFlags);
        vp.Mmu.FlushAll();
        vp.Mmu.UpdateContext();
        vp.ModeChanged();
    }

    private static void ResetMachine(VpState* s)
    {
        s->PendingEvents = 0;
        s->Xcr0 = 1;
        s->Star = 0;
        s->Lstar = 0;
        s->Cstar = 0;
        s->Sfmask = 0;
        s->KernelGsBase = 0;
        s->SysenterCs = 0;
        s->SysenterEsp = 0;
        s->SysenterEip = 0;
        s->Pat = 0x0007_0406_0007_0406;
        s->TscAux = 0;
        s->TscOffset = 0;
        s->TscAdjust = 0;
        // Fast strings (Linux clears ERMS without it: arch/x86/kernel/cpu/intel.c).
        s->MiscEnable = 1;
        s->DebugCtl = 0;
        s->Xss = 0;
        s->MtrrDefType = 0;
        for (int i = 0; i < 11; i++)
        {
            s->MtrrFixed[i] = 0;
        }

        for (int i = 0; i < 16; i++)
        {
            s->MtrrVariable[i] = 0;
        }

        new Span<byte>(s->X87, 128).Clear();
        new Span<byte>(s->Vector, 512).Clear();
        s->Fcw = 0x40;
        s->Fsw = 0;
        s->Ftw = 0xFF;
        s->Fop = 0;
        s->Fip = 0;
        s->Fdp = 0;
        s->Mxcsr = 0x1F80;
    }
}

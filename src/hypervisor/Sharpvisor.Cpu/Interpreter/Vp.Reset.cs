// Power-on and INIT state (Intel SDM Vol. 3A, table 10-1).

namespace Sharpvisor.Cpu.Interpreter;

internal sealed unsafe partial class Vp
{
    /// <inheritdoc/>
    public CpuidResult Cpuid(uint leaf, uint subleaf) => default;

    /// <inheritdoc/>
    public void Reset(bool powerOn)
    {
        VpState* s = State;
        for (int i = 0; i < 18; i++)
        {
            s->Gpr[i] = 0;
        }

        const uint familyModelStepping = 0x906ED;
        s->Gpr[2] = familyModelStepping;
        s->Rip = 0xFFF0;
        s->RFlags = 2;
        s->Cpl = 0;
        s->InterruptShadow = 0;
        s->NmiBlocked = 0;
        const ushort data = 0x93;
        const ushort code = 0x9B;
        for (Segment segment = Segment.Es; segment <= Segment.Gs; segment++)
        {
            *VpState.Seg(s, segment) = new SegmentRegister { Limit = 0xFFFF, Attributes = data };
        }

        *VpState.Seg(s, Segment.Cs) = new SegmentRegister
        {
            Base = 0xFFFF_0000,
            Limit = 0xFFFF,
            Selector = 0xF000,
            Attributes = code,
        };
        *VpState.Seg(s, Segment.Ldtr) = new SegmentRegister { Limit = 0xFFFF, Attributes = 0x82 };
        *VpState.Seg(s, Segment.Tr) = new SegmentRegister { Limit = 0xFFFF, Attributes = 0x8B };
        s->Gdtr = new DescriptorTableRegister { Limit = 0xFFFF };
        s->Idtr = new DescriptorTableRegister { Limit = 0xFFFF };

        // INIT keeps CD and NW as they are; power-on sets them.
        const ulong cacheDisable = 3UL << 29;
        s->Cr0 = 0x10 | (powerOn ? cacheDisable : s->Cr0 & cacheDisable);
        s->Cr2 = 0;
        s->Cr3 = 0;
        s->Cr4 = 0;
        s->Efer = 0;
        for (int i = 0; i < 4; i++)
        {
            s->Dr[i] = 0;
        }

        s->Dr[6] = 0xFFFF_0FF0;
        s->Dr[7] = 0x400;
        if (powerOn)
        {
            PowerOn(s);
        }

        Halted = false;
        TripleFault = false;
        _interruptDeferred = false;
        _engine->Fault = default;
        Flags.Write(s, s->RFlags);
        Mmu.UpdateContext();
        Mmu.FlushAll();
    }

    private static void PowerOn(VpState* s)
    {
        s->Xcr0 = 1;
        s->Pat = 0x0007_0406_0007_0406;
        s->MtrrDefType = 0;
        s->Fcw = 0x40;
        s->Fsw = 0;
        s->Ftw = 0;
        s->Mxcsr = 0x1F80;
        s->MiscEnable = 1;
        s->TscAdjust = 0;
        s->TscOffset = 0;
        new Span<byte>(s->Vector, 512).Clear();
        new Span<byte>(s->X87, 128).Clear();
    }
}

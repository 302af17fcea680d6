// Puts the first VP at a loaded image's entry point, as firmware would leave it.
using Sharpvisor.Core;
using Sharpvisor.Devices.Boot;

namespace Sharpvisor.Worker;

internal static class BootProcessor
{
    public static void Apply(BootState boot, VpRegisters registers)
    {
        ref VpState state = ref registers.State;
        state.Rip = boot.Rip;
        state.RFlags = boot.RFlags;
        registers[Gpr.Rax] = boot.Rax;
        registers[Gpr.Rbx] = boot.Rbx;
        registers[Gpr.Rdx] = 0;
        registers[Gpr.Rsi] = boot.Rsi;
        registers[Gpr.Rsp] = boot.Rsp;
        state.Cr0 = boot.Cr0;
        state.Cr3 = boot.Cr3;
        state.Cr4 = boot.Cr4;
        state.Efer = boot.Efer;
        state.Gdtr = new DescriptorTableRegister { Base = boot.GdtBase, Limit = boot.GdtLimit };
        state.Cpl = 0;
        registers.Segment(Segment.Cs) = boot.Code;
        foreach (Segment segment in (ReadOnlySpan<Segment>)[Segment.Ds, Segment.Es, Segment.Ss, Segment.Fs, Segment.Gs])
        {
            registers.Segment(segment) = boot.Data;
        }

        registers.Segment(Segment.Tr) = boot.Task;
    }

    /// <summary>
    /// The memory types that firmware sets on every processor (Intel SDM Vol. 3A, 12.11): without them Linux finds MTRRs
    /// disabled and gives up PAT too (arch/x86/mm/pat/memtype.c). INIT keeps them.
    /// </summary>
    public static void SetMemoryTypes(VpRegisters registers)
    {
        const ulong writeBack = 0x0606_0606_0606_0606;
        const ulong enabledFixedWriteBack = 0xC06;
        const int fixed16KOfA0000 = 2;
        Span<ulong> ranges = VpMtrrs.FixedRanges(registers);
        ranges.Fill(writeBack);
        ranges[fixed16KOfA0000] = 0;
        registers.State.MtrrDefType = enabledFixedWriteBack;
    }
}

// Debug exceptions: Intel SDM Vol. 3A, 6.8.3; Vol. 3B, 17.2 and 17.3.
using Sharpvisor.Cpu.System;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Architecture;

public sealed unsafe class DebugTests : IDisposable
{
    private const ulong Handler = 0x50000;
    private const ulong Breakpoint = 0x51000;
    private const byte Nop = 0x90;
    private const byte Hlt = 0xF4;
    private readonly Machine _m = new();

    public DebugTests()
    {
        _m.Long();
        // The #DB handler counts in R15, keeps the RIP it saw in R14 and DR6 in R13, and clears TF in its frame.
        _m.Gate64(Vector.DB, Handler);
        Assert.True(_m.Memory.TryWrite(Handler, [
            0x49, 0xFF, 0xC7,
            0x4C, 0x8B, 0x34, 0x24,
            0x0F, 0x21, 0xF0, 0x49, 0x89, 0xC5,
            0x81, 0x64, 0x24, 0x10, 0xFF, 0xFE, 0xFF, 0xFF,
            0x81, 0x4C, 0x24, 0x10, 0x00, 0x00, 0x01, 0x00,
            0x48, 0xCF]));
        _m.Gate64(Vector.BP, Breakpoint);
        Assert.True(_m.Memory.TryWrite(Breakpoint, [0x49, 0xFF, 0xC4, 0x48, 0xCF]));
    }

    private ulong Count => _m.S->Gpr[15];

    private ulong SeenRip => _m.S->Gpr[14];

    private ulong SeenDr6 => _m.S->Gpr[13];

    public void Dispose() => _m.Dispose();

    [Fact]
    public void An_execution_breakpoint_faults_before_its_instruction_and_RF_lets_it_pass()
    {
        _m.S->Dr[2] = Machine.Code + 1;
        _m.S->Dr[7] = 0x400 | (2 << 4);
        _m.Changed();
        _m.Run(Nop, Nop, Nop, Hlt);
        Assert.Equal(1UL, Count);
        Assert.Equal(Machine.Code + 1, SeenRip);
        Assert.Equal(DebugRegisters.Dr6Fixed | 4, SeenDr6);
        Assert.Equal(0UL, _m.S->RFlags & RFlag.RF);
    }

    [Fact]
    public void A_data_breakpoint_traps_after_the_store()
    {
        _m.S->Dr[1] = 0x70000;
        _m.S->Dr[7] = 0x400 | (2 << 2) | (0xDUL << 20);
        _m.Changed();
        _m.S->Gpr[3] = 0x70000;
        _m.Run(0x89, 0x03, Nop, Hlt);
        Assert.Equal(1UL, Count);
        Assert.Equal(Machine.Code + 2, SeenRip);
        Assert.Equal(DebugRegisters.Dr6Fixed | 2, SeenDr6);
    }

    [Fact]
    public void Single_step_traps_in_the_shadow_of_STI_but_not_of_MOV_SS()
    {
        _m.S->RFlags = 2 | RFlag.TF;
        _m.Run(0xFB, Nop, Hlt);
        Assert.Equal(Machine.Code + 1, SeenRip);
        _m.S->RFlags = 2 | RFlag.TF;
        _m.S->Gpr[0] = 0x10;
        _m.Vp.Halted = false;
        _m.Run(0x8E, 0xD0, Nop, Hlt);
        Assert.Equal(Machine.Code + 3, SeenRip);
        Assert.Equal(2UL, Count);
    }

    [Fact]
    public void INT_n_under_TF_makes_no_trap_in_its_handler()
    {
        _m.S->RFlags = 2 | RFlag.TF;
        _m.Run(0xCC, Hlt);
        Assert.Equal(1UL, _m.S->Gpr[12]);
        // The IRET restored TF: the instruction after it traps.
        Assert.Equal(1UL, Count);
        Assert.Equal(Machine.Code + 2, SeenRip);
    }

    [Fact]
    public void SYSCALL_that_masks_TF_makes_no_trap()
    {
        _m.S->RFlags = 2 | RFlag.TF;
        _m.S->Star = 0x28UL << 32;
        _m.S->Lstar = Machine.Code + 8;
        _m.S->Sfmask = RFlag.TF;
        _m.Run(0x0F, 0x05, Hlt, Hlt, Hlt, Hlt, Hlt, Hlt, Nop, Hlt);
        Assert.Equal(0UL, Count);
        Assert.Equal(Machine.Code + 10, _m.S->Rip);
    }

    [Fact]
    public void INT1_takes_the_data_breakpoint_that_waited_behind_MOV_SS_with_it()
    {
        _m.Write(0x70000, (ushort)0x10);
        _m.S->Dr[1] = 0x70000;
        _m.S->Dr[7] = 0x400 | (2 << 2) | (0xFUL << 20);
        _m.Changed();
        _m.S->Gpr[3] = 0x70000;
        _m.Run(0x8E, 0x13, 0xF1, Hlt);
        Assert.Equal(1UL, Count);
        Assert.Equal(Machine.Code + 3, SeenRip);
        Assert.Equal(DebugRegisters.Dr6Fixed | 2, SeenDr6);
    }
}

// System instructions as the guest runs them, through the decoder and the run loop.
using Sharpvisor.Core;
using Sharpvisor.Cpu.System;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Architecture;

public sealed unsafe class SystemInstructionTests : IDisposable
{
    private readonly Machine _m = new();

    public void Dispose() => _m.Dispose();

    [Fact]
    public void SYSCALL_and_SYSRET_go_to_the_kernel_and_back()
    {
        _m.Long();
        _m.Gate64(13, 0x50100);
        _m.S->Star = (0x20UL - 8 | 3UL) << 48 | (0x28UL << 32);
        _m.S->Lstar = 0x50000;
        _m.S->Sfmask = RFlag.IF;
        _m.Write(Machine.Tss + 4, 0x7_0000UL);
        // 50000: sysretq. 50100 (#GP: user HLT): hlt
        Assert.True(_m.Memory.TryWrite(0x50000, new byte[] { 0x48, 0x0F, 0x07 }));
        Assert.True(_m.Memory.TryWrite(0x50100, new byte[] { 0xF4 }));
        _m.User();
        _m.S->RFlags = 0x202;
        // syscall; hlt
        Assert.Equal(VpExit.Halt, _m.Run(0x0F, 0x05, 0xF4));
        Assert.Equal(Machine.Code + 2, _m.S->Gpr[1]);
        Assert.Equal(0x202UL, _m.S->Gpr[11]);
        Assert.Equal(Machine.Code + 2, _m.Read<ulong>(0x7_0000 - 40));
        Assert.Equal(0x2BUL, _m.Read<ulong>(0x7_0000 - 32) & 0xFFFF);
    }

    [Fact]
    public void IRETQ_returns_to_user_mode_with_its_flags()
    {
        _m.Long();
        _m.Gate64(13, 0x50100);
        Assert.True(_m.Memory.TryWrite(0x50100, new byte[] { 0xF4 }));
        _m.Write(Machine.Tss + 4, 0x7_0000UL);
        ulong frame = Machine.Stack - 40;
        _m.Write(frame, 0x50200UL);
        _m.Write(frame + 8, 0x33UL);
        _m.Write(frame + 16, 0x246UL);
        _m.Write(frame + 24, 0x6_8000UL);
        _m.Write(frame + 32, 0x23UL);
        Assert.True(_m.Memory.TryWrite(0x50200, new byte[] { 0xF4 }));
        _m.S->Gpr[4] = frame;
        Assert.Equal(VpExit.Halt, _m.Run(0x48, 0xCF));
        Assert.Equal(0x50200UL, _m.Read<ulong>(0x7_0000 - 40));
        Assert.Equal(0x33UL, _m.Read<ulong>(0x7_0000 - 32));
        Assert.Equal(0x1_0246UL, _m.Read<ulong>(0x7_0000 - 24));
        Assert.Equal(0x6_8000UL, _m.Read<ulong>(0x7_0000 - 16));
        Assert.Equal(0x23UL, _m.Read<ulong>(0x7_0000 - 8));
    }

    [Fact]
    public void Real_mode_code_reaches_long_mode()
    {
        // Tables and GDT as Machine.Long makes them, but started from real mode at 0:8000.
        _m.Long();
        _m.Vp.Reset(powerOn: true);
        *VpState.Seg(_m.S, Segment.Cs) = new SegmentRegister { Limit = 0xFFFF, Attributes = 0x9B };
        _m.Write(0x7000, (ushort)0xFF);
        _m.Write(0x7002, (uint)Machine.Gdt);
        byte[] real =
        [
            0x0F, 0x01, 0x16, 0x00, 0x70, // lgdt [7000]
            0x66, 0xB8, 0x20, 0, 0, 0, // mov eax, CR4.PAE
            0x0F, 0x22, 0xE0, // mov cr4, eax
            0x66, 0xB8, 0, 0, 1, 0, // mov eax, tables
            0x0F, 0x22, 0xD8, // mov cr3, eax
            0x66, 0xB9, 0x80, 0, 0, 0xC0, // mov ecx, EFER
            0x0F, 0x32, // rdmsr
            0x66, 0x0D, 0, 1, 0, 0, // or eax, LME
            0x0F, 0x30, // wrmsr
            0x66, 0xB8, 0x11, 0, 0, 0x80, // mov eax, PG|ET|PE
            0x0F, 0x22, 0xC0, // mov cr0, eax
            0x66, 0xEA, 0, 0x90, 0, 0, 0x28, 0, // jmp 28:9000
        ];
        Assert.True(_m.Memory.TryWrite(0x8000, real));
        // mov rax, 0x1122334455667788; hlt
        Assert.True(_m.Memory.TryWrite(0x9000, new byte[] { 0x48, 0xB8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xF4 }));
        _m.S->Rip = 0x8000;
        Assert.Equal(VpExit.Halt, _m.Vp.Run());
        Assert.Equal(0x1122_3344_5566_7788UL, _m.S->Gpr[0]);
        Assert.Equal(Efer.LME | Efer.LMA, _m.S->Efer);
    }

    [Fact]
    public void CPUID_of_a_family_that_needs_no_mitigations()
    {
        _m.Long();
        // mov eax, 1; cpuid; hlt
        Assert.Equal(VpExit.Halt, _m.Run(0xB8, 1, 0, 0, 0, 0x0F, 0xA2, 0xF4));
        Assert.Equal(5UL, (_m.S->Gpr[0] >> 8) & 0xF);
        Assert.Equal(0UL, _m.S->Gpr[1] & (1u << 27));
    }

    [Theory]
    [InlineData(0x8000_0000UL, false)]
    [InlineData(0x2000_0011UL, false)]
    [InlineData(0x1_0000_0011UL, false)]
    [InlineData(0x8005_0033UL, true)]
    public void CR0_rejects_impossible_values(ulong value, bool accepted)
    {
        _m.Protected();
        Assert.Equal(accepted, ControlHandlers.WriteCr0(_m.S, value));
    }

    [Fact]
    public void CR4_rejects_bits_not_offered_and_clearing_PAE_in_long_mode()
    {
        _m.Long();
        Assert.False(ControlHandlers.WriteCr4(_m.S, 0));
        Assert.False(ControlHandlers.WriteCr4(_m.S, Cr4.PAE | Cr4.VME));
        Assert.True(ControlHandlers.WriteCr4(_m.S, Cr4.PAE | Cr4.SMEP | Cr4.SMAP | Cr4.PCIDE));
    }

    [Fact]
    public void Ports_obey_the_IO_bitmap()
    {
        _m.Long();
        _m.Write(Machine.Tss + 102, (ushort)0x68);
        for (ulong i = 0; i < 33; i++)
        {
            _m.Write(Machine.Tss + 0x68 + i, i == 2 ? (byte)0xFE : (byte)0xFF);
        }

        VpState.Seg(_m.S, Segment.Tr)->Limit = 0x68 + 32;
        _m.User();
        Assert.True(PortHandlers.Allowed(_m.S, 0x10, 1));
        Assert.False(PortHandlers.Allowed(_m.S, 0x10, 2));
        Assert.Equal(0u, _m.TakeError(13));
        Assert.False(PortHandlers.Allowed(_m.S, 0x300, 1));
    }

    [Fact]
    public void REP_INSW_uses_the_device_fast_path()
    {
        _m.Long();
        _m.Intercepts.PortData = new byte[512];
        _m.Intercepts.PortData[511] = 0x5A;
        _m.S->Gpr[7] = 0x9000;
        _m.S->Gpr[1] = 256;
        _m.S->Gpr[2] = 0x1F0;
        // rep insw; hlt
        Assert.Equal(VpExit.Halt, _m.Run(0xF3, 0x66, 0x6D, 0xF4));
        Assert.Equal(0x5A, _m.Read<byte>(0x91FF));
        Assert.Equal(0x9200UL, _m.S->Gpr[7]);
        Assert.Equal(0UL, _m.S->Gpr[1]);
        Assert.Empty(_m.Intercepts.Log);
    }

    [Fact]
    public void TSC_writes_move_TSC_ADJUST()
    {
        _m.Long();
        Assert.True(Msrs.TryWrite(_m.S, 0x10, 5000));
        Assert.Equal(5000UL, Msrs.ReadTsc(_m.S));
        Assert.True(Msrs.TryRead(_m.S, 0x3B, out ulong adjust));
        Assert.Equal(4000UL, adjust);
        Assert.True(Msrs.TryWrite(_m.S, 0x3B, 0));
        Assert.Equal(1000UL, Msrs.ReadTsc(_m.S));
    }

    [Fact]
    public void Hardware_task_switch_saves_and_loads_registers()
    {
        _m.Protected();
        const ulong newTss = 0x3800;
        _m.Write(Machine.Gdt + 0x40, 0x0000_8B00_3000_0067UL);
        _m.Write(Machine.Gdt + 0x48, 0x0000_8900_3800_0067UL);
        _m.Write(newTss + 0x20, (uint)0x9000);
        _m.Write(newTss + 0x24, 2u);
        _m.Write(newTss + 0x28, 0xAAAAu);
        _m.Write(newTss + 0x38, 0x7_0000u);
        foreach (uint offset in new uint[] { 0x48, 0x50, 0x54, 0x58, 0x5C })
        {
            _m.Write(newTss + offset, 0x10u);
        }

        _m.Write(newTss + 0x4C, 0x08u);
        Assert.True(_m.Memory.TryWrite(0x9000, new byte[] { 0xCF, 0xF4 }));
        _m.S->Gpr[0] = 0x1111;
        // call 48:0; hlt -- the new task IRETs at once
        Assert.Equal(VpExit.Halt, _m.Run(0x9A, 0, 0, 0, 0, 0x48, 0, 0xF4));
        Assert.Equal(0x1111UL, _m.S->Gpr[0]);
        Assert.Equal(0x40, VpState.Seg(_m.S, Segment.Tr)->Selector);
        Assert.Equal(0x9001u, _m.Read<uint>(newTss + 0x20));
        Assert.Equal(0x89, _m.Read<byte>(Machine.Gdt + 0x4D));
    }

    [Fact]
    public void CLAC_and_STAC_need_the_feature_but_not_CR4_SMAP()
    {
        _m.Long();
        // stac; hlt
        Assert.Equal(VpExit.Halt, _m.Run(0x0F, 0x01, 0xCB, 0xF4));
        Assert.NotEqual(0UL, _m.S->RFlags & RFlag.AC);
    }

    [Fact]
    public void A_GS_nullified_by_IRET_keeps_its_base()
    {
        _m.Long();
        _m.Gate64(13, 0x50100);
        Assert.True(_m.Memory.TryWrite(0x50100, new byte[] { 0xF4 }));
        _m.Write(Machine.Tss + 4, 0x7_0000UL);
        ulong frame = Machine.Stack - 40;
        _m.Write(frame, 0x50200UL);
        _m.Write(frame + 8, 0x33UL);
        _m.Write(frame + 16, 0x2UL);
        _m.Write(frame + 24, 0x6_8000UL);
        _m.Write(frame + 32, 0x23UL);
        VpState.Seg(_m.S, Segment.Gs)->Base = 0x7_1000;
        _m.Write(0x7_1008, 0x1234UL);
        // mov rbx, gs:[8]; hlt
        Assert.True(_m.Memory.TryWrite(0x50200, new byte[] { 0x65, 0x48, 0x8B, 0x1C, 0x25, 8, 0, 0, 0, 0xF4 }));
        _m.S->Gpr[4] = frame;
        Assert.Equal(VpExit.Halt, _m.Run(0x48, 0xCF));
        Assert.Equal(0, VpState.Seg(_m.S, Segment.Gs)->Selector);
        Assert.Equal(0x1234UL, _m.S->Gpr[3]);
    }

    [Theory]
    [InlineData(new byte[] { 0x50 }, 12)]
    [InlineData(new byte[] { 0x58 }, 12)]
    [InlineData(new byte[] { 0xC3 }, 12)]
    [InlineData(new byte[] { 0xE8, 0, 0, 0, 0 }, 12)]
    [InlineData(new byte[] { 0x48, 0x8B, 0x04, 0x24 }, 12)]
    [InlineData(new byte[] { 0x48, 0x8B, 0x45, 0x00 }, 12)]
    [InlineData(new byte[] { 0x48, 0x8B, 0x03 }, 13)]
    [InlineData(new byte[] { 0xFF, 0x33 }, 13)]
    public void A_non_canonical_address_is_SS_on_the_stack_and_GP_elsewhere(byte[] code, byte vector)
    {
        ArgumentNullException.ThrowIfNull(code);
        _m.Long();
        _m.Gate64(vector, 0x50100, ist: 1);
        _m.Write(Machine.Tss + 0x24, 0x7_0000UL);
        Assert.True(_m.Memory.TryWrite(0x50100, new byte[] { 0xF4 }));
        _m.S->Gpr[3] = _m.S->Gpr[4] = _m.S->Gpr[5] = 0x8000_0000_0000_0000;
        Assert.Equal(VpExit.Halt, _m.Run(code));
        Assert.Equal(Machine.Code, _m.Read<ulong>(0x7_0000 - 40));
    }

    [Fact]
    public void An_instruction_of_more_than_15_bytes_is_GP()
    {
        _m.Long();
        _m.Gate64(13, 0x50100);
        Assert.True(_m.Memory.TryWrite(0x50100, new byte[] { 0xF4 }));
        byte[] code = new byte[17];
        code.AsSpan().Fill(0x66);
        code[15] = 0x90;
        Assert.Equal(VpExit.Halt, _m.Run(code));
        Assert.Equal(0UL, _m.Read<ulong>(_m.S->Gpr[4]));
        Assert.Equal(Machine.Code, _m.Read<ulong>(_m.S->Gpr[4] + 8));
    }
}

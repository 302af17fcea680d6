// Frames and rules of exception delivery: Intel SDM Vol. 3A, chapter 6.
using Sharpvisor.Core;
using Sharpvisor.Cpu.System;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Architecture;

public sealed unsafe class ExceptionTests : IDisposable
{
    private const ulong Handler = 0x50000;
    private readonly Machine _m = new();

    public void Dispose() => _m.Dispose();

    [Fact]
    public void Real_mode_pushes_three_words_and_clears_IF()
    {
        _m.Write(13 * 4, 0x1234_5678u);
        VpState.Seg(_m.S, Segment.Cs)->Base = 0x40000;
        VpState.Seg(_m.S, Segment.Cs)->Selector = 0x4000;
        _m.S->Gpr[4] = 0x8000;
        _m.S->Rip = 0x111;
        _m.S->RFlags = 0x202;
        Faults.Record(_m.S, Vector.GP, 0);
        Exceptions.Deliver(_m.Vp);
        Assert.Equal(0x5678UL, _m.S->Rip);
        Assert.Equal(0x12340UL, VpState.Seg(_m.S, Segment.Cs)->Base);
        Assert.Equal(0x7FFAUL, _m.S->Gpr[4]);
        Assert.Equal(0x111, _m.Read<ushort>(0x7FFA));
        Assert.Equal(0x4000, _m.Read<ushort>(0x7FFC));
        Assert.Equal(0UL, _m.S->RFlags & RFlag.IF);
    }

    [Fact]
    public void Protected_mode_pushes_the_error_code_on_the_same_stack()
    {
        _m.Protected();
        _m.Gate32(13, (uint)Handler);
        _m.S->Rip = 0x4444;
        Faults.Record(_m.S, Vector.GP, 0x58);
        Exceptions.Deliver(_m.Vp);
        Assert.Equal(Handler, _m.S->Rip);
        Assert.Equal(Machine.Stack - 16, _m.S->Gpr[4]);
        Assert.Equal(0x58u, _m.Read<uint>(Machine.Stack - 16));
        Assert.Equal(0x4444u, _m.Read<uint>(Machine.Stack - 12));
        Assert.Equal(8u, _m.Read<uint>(Machine.Stack - 8));
        Assert.NotEqual(0UL, _m.Read<uint>(Machine.Stack - 4) & RFlag.RF);
    }

    [Fact]
    public void Protected_mode_switches_to_the_stack_of_the_TSS()
    {
        _m.Protected();
        _m.Gate32(0x80, (uint)Handler, dpl: 3);
        _m.Write(Machine.Tss + 4, 0x7_0000u);
        _m.Write(Machine.Tss + 8, 0x10u);
        _m.S->Cpl = 3;
        VpState.Seg(_m.S, Segment.Cs)->Selector = 0x1B;
        VpState.Seg(_m.S, Segment.Ss)->Selector = 0x23;
        _m.Changed();
        _m.S->Rip = 0x102;
        Exceptions.DeliverSoftware(_m.Vp, 0x80, 0x100);
        Assert.Equal(0u, _m.S->Cpl);
        Assert.Equal(0x6_FFECUL, _m.S->Gpr[4]);
        Assert.Equal(0x102u, _m.Read<uint>(0x6_FFEC));
        Assert.Equal(0x1Bu, _m.Read<uint>(0x6_FFF0));
        Assert.Equal((uint)Machine.Stack, _m.Read<uint>(0x6_FFF8));
        Assert.Equal(0x23u, _m.Read<uint>(0x6_FFFC));
        Assert.Equal(0x10, VpState.Seg(_m.S, Segment.Ss)->Selector);
    }

    [Fact]
    public void Long_mode_aligns_the_stack_and_loads_CR2()
    {
        _m.Long();
        _m.Gate64(14, Handler);
        _m.S->Gpr[4] = Machine.Stack - 3;
        _m.S->Rip = 0x4444;
        Faults.RecordPageFault(_m.S, 0xDEAD_000, 6);
        Exceptions.Deliver(_m.Vp);
        Assert.Equal(0xDEAD_000UL, _m.S->Cr2);
        ulong top = Machine.Stack - 16;
        Assert.Equal(top - 48, _m.S->Gpr[4]);
        Assert.Equal(6UL, _m.Read<ulong>(top - 48));
        Assert.Equal(0x4444UL, _m.Read<ulong>(top - 40));
        Assert.Equal(0x28UL, _m.Read<ulong>(top - 32));
        Assert.Equal(Machine.Stack - 3, _m.Read<ulong>(top - 16));
        Assert.Equal(0x10UL, _m.Read<ulong>(top - 8));
    }

    [Fact]
    public void Long_mode_takes_RSP0_from_user_mode_and_a_null_SS()
    {
        _m.Long();
        _m.Gate64(14, Handler);
        _m.Write(Machine.Tss + 4, 0x7_0000UL);
        _m.User();
        Faults.RecordPageFault(_m.S, 0x123, 4);
        Exceptions.Deliver(_m.Vp);
        Assert.Equal(0x7_0000UL - 48, _m.S->Gpr[4]);
        Assert.Equal(0, VpState.Seg(_m.S, Segment.Ss)->Selector);
        Assert.Equal(0x33UL, _m.Read<ulong>(0x7_0000 - 32));
        Assert.Equal(0u, _m.S->Cpl);
    }

    [Fact]
    public void An_IST_stack_is_used_at_the_same_privilege()
    {
        _m.Long();
        _m.Gate64(2, Handler, ist: 2);
        _m.Write(Machine.Tss + 0x2C, 0x7_0000UL);
        Exceptions.DeliverNmi(_m.Vp);
        Assert.Equal(0x7_0000UL - 40, _m.S->Gpr[4]);
        Assert.Equal(1u, _m.S->NmiBlocked);
    }

    [Fact]
    public void INT_n_through_a_privileged_gate_is_GP_with_the_IDT_bit()
    {
        _m.Long();
        _m.Gate64(0x30, Handler);
        _m.Gate64(13, Handler + 0x100);
        _m.Write(Machine.Tss + 4, 0x7_0000UL);
        _m.User();
        _m.S->Rip = 0x102;
        Exceptions.DeliverSoftware(_m.Vp, 0x30, 0x100);
        Assert.Equal(Handler + 0x100, _m.S->Rip);
        Assert.Equal(0x182UL, _m.Read<ulong>(0x7_0000 - 48));
        Assert.Equal(0x100UL, _m.Read<ulong>(0x7_0000 - 40));
    }

    [Fact]
    public void A_fault_while_a_contributory_fault_is_delivered_is_a_double_fault()
    {
        _m.Long();
        _m.Gate64(8, Handler);
        Faults.Record(_m.S, Vector.GP, 0);
        Exceptions.Deliver(_m.Vp);
        Assert.Equal(Handler, _m.S->Rip);
        Assert.Equal(0UL, _m.Read<ulong>(_m.S->Gpr[4]));
        Assert.False(_m.Vp.TripleFault);
    }

    [Fact]
    public void A_missing_gate_of_an_interrupt_is_GP_with_IDT_and_EXT_bits()
    {
        _m.Long();
        _m.Gate64(13, Handler);
        Exceptions.DeliverInterrupt(_m.Vp, 0x31);
        Assert.Equal(Handler, _m.S->Rip);
        Assert.Equal((0x31UL << 3) | 3, _m.Read<ulong>(_m.S->Gpr[4]));
    }

    [Fact]
    public void No_handlers_at_all_is_a_triple_fault()
    {
        _m.Long();
        Faults.RecordPageFault(_m.S, 1, 0);
        Exceptions.Deliver(_m.Vp);
        Assert.True(_m.Vp.TripleFault);
    }

    [Fact]
    public void A_new_stack_without_room_is_SS_with_its_selector()
    {
        _m.Protected();
        // 38: data, DPL 0, limit 0. 40: call gate, DPL 3, to 08:50000.
        _m.Write(Machine.Gdt + 0x38, 0x0040_9300_0000_0000UL);
        _m.Write(Machine.Gdt + 0x40, 0x0005_EC00_0008_0000UL);
        _m.Write(Machine.Tss + 4, 0x7_0000u);
        _m.Write(Machine.Tss + 8, 0x38u);
        _m.S->Cpl = 3;
        VpState.Seg(_m.S, Segment.Cs)->Selector = 0x1B;
        VpState.Seg(_m.S, Segment.Ss)->Selector = 0x23;
        _m.Changed();
        Assert.False(FarTransfer.Go(_m.S, 0x43, 0, 4, call: true, 0x102));
        Assert.Equal(0x38u, _m.TakeError(Vector.SS));
    }
}

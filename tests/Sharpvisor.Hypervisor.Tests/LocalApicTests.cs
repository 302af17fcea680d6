using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Hypervisor.Tests;

public sealed class LocalApicTests
{
    private const ulong MsiBase = 0xFEE0_0000;

    [Fact]
    public void Reset_state_is_the_manuals()
    {
        using var machine = new TestMachine(2);
        Assert.Equal(0xFEE0_0900UL, machine.Msr(0x1B, 0));
        Assert.Equal(0xFEE0_0800UL, machine.Msr(0x1B, 1));
        Assert.Equal(1u << 24, machine.Apic(0x20, 1));
        Assert.Equal(0x0105_0014u, machine.Apic(0x30));
        Assert.Equal(0xFFu, machine.Apic(0xF0));
        Assert.Equal(0xFFFF_FFFFu, machine.Apic(0xE0));
        Assert.Equal(0x700u, machine.Apic(0x350));
        Assert.Equal(0x10000u, machine.Apic(0x350, 1));
    }

    [Fact]
    public void Software_disabled_apic_drops_fixed_interrupts_and_masks_its_lvt()
    {
        using var machine = new TestMachine();
        machine.Partition.Deliver(new MsiMessage(MsiBase, 0x40));
        Assert.Equal(-1, machine.Acknowledge());
        machine.SetApic(0x320, 0x40);
        Assert.Equal(0x1_0040u, machine.Apic(0x320));
    }

    [Fact]
    public void Higher_priority_class_comes_first_and_lower_waits_for_EOI()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.Partition.Deliver(new MsiMessage(MsiBase, 0x41));
        machine.Partition.Deliver(new MsiMessage(MsiBase, 0x52));
        Assert.Equal(0x52, machine.Acknowledge());
        Assert.Equal(0x50u, machine.Apic(0xA0));
        Assert.Equal(-1, machine.Acknowledge());
        machine.SetApic(0xB0, 0);
        Assert.Equal(0x41, machine.Acknowledge());
    }

    [Fact]
    public void Same_class_does_not_nest()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.Partition.Deliver(new MsiMessage(MsiBase, 0x41));
        Assert.Equal(0x41, machine.Acknowledge());
        machine.Partition.Deliver(new MsiMessage(MsiBase, 0x4F));
        Assert.Equal(-1, machine.Acknowledge());
    }

    [Fact]
    public void CR8_holds_back_its_class_and_lowering_it_notifies()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.Vp().Cr8 = 4;
        machine.Partition.Deliver(new MsiMessage(MsiBase, 0x41));
        Assert.Equal(-1, machine.Acknowledge());
        Assert.Equal(0x40u, machine.Apic(0x80));
        machine.Partition.Processors[0].Registers.ClearEvents(VpEvents.Interrupt);
        machine.Vp().Cr8 = 3;
        Assert.True(machine.Engine().Events.HasFlag(VpEvents.Interrupt));
        Assert.Equal(0x41, machine.Acknowledge());
    }

    [Fact]
    public void EOI_of_a_level_vector_is_broadcast_and_of_an_edge_vector_is_not()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        var ended = new List<byte>();
        machine.Partition.EndOfInterrupt += ended.Add;
        machine.Partition.Deliver(new MsiMessage(MsiBase, 0xC000 | 0x61));
        Assert.Equal(2u, machine.Apic(0x1B0));
        Assert.Equal(0x61, machine.Acknowledge());
        machine.SetApic(0xB0, 0);
        machine.Partition.Deliver(new MsiMessage(MsiBase, 0x61));
        Assert.Equal(0u, machine.Apic(0x1B0));
        Assert.Equal(0x61, machine.Acknowledge());
        machine.SetApic(0xB0, 0);
        Assert.Equal([0x61], ended);
    }

    [Theory]
    [InlineData(0u, 1u << 18, true, false, false)]
    [InlineData(0u, 2u << 18, true, true, true)]
    [InlineData(0u, 3u << 18, false, true, true)]
    [InlineData(2u, 0u, false, false, true)]
    [InlineData(0xFFu, 0u, true, true, true)]
    [InlineData(9u, 0u, false, false, false)]
    public void ICR_reaches_its_destinations(uint destination, uint flags, bool vp0, bool vp1, bool vp2)
    {
        using TestMachine machine = new TestMachine(3).EnableApics();
        machine.SetApic(0x310, destination << 24);
        machine.SetApic(0x300, flags | 0x4040);
        Assert.Equal(vp0 ? 0x40 : -1, machine.Acknowledge(0));
        Assert.Equal(vp1 ? 0x40 : -1, machine.Acknowledge(1));
        Assert.Equal(vp2 ? 0x40 : -1, machine.Acknowledge(2));
    }

    [Theory]
    [InlineData(0xFFFF_FFFFu, 0x06u, true, true)]
    [InlineData(0xFFFF_FFFFu, 0x02u, true, false)]
    [InlineData(0x0FFF_FFFFu, 0x02u, true, false)]
    [InlineData(0x0FFF_FFFFu, 0x14u, false, false)]
    public void Logical_destinations_follow_the_model(uint model, uint destination, bool vp0, bool vp1)
    {
        using TestMachine machine = new TestMachine(2).EnableApics();
        for (int i = 0; i < 2; i++)
        {
            machine.SetApic(0xE0, model, i);
            machine.SetApic(0xD0, (2u << i) << 24, i);
        }

        machine.Partition.Deliver(new MsiMessage(MsiBase | ((ulong)destination << 12) | 4, 0x40));
        Assert.Equal(vp0 ? 0x40 : -1, machine.Acknowledge(0));
        Assert.Equal(vp1 ? 0x40 : -1, machine.Acknowledge(1));
    }

    [Fact]
    public void Lowest_priority_goes_to_exactly_one_with_the_lowest_TPR()
    {
        using TestMachine machine = new TestMachine(3).EnableApics();
        for (int i = 0; i < 3; i++)
        {
            machine.SetApic(0xD0, 1u << (24 + i), i);
            machine.Vp(i).Cr8 = (byte)(i == 1 ? 0 : 3);
        }

        machine.Partition.Deliver(new MsiMessage(MsiBase | (7 << 12) | 4, 0x151));
        Assert.Equal([-1, 0x51, -1], new[] { machine.Acknowledge(0), machine.Acknowledge(1), machine.Acknowledge(2) });
    }

    [Fact]
    public void Illegal_vectors_are_recorded_and_latched_by_a_write_to_ESR()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetApic(0x370, 0x33);
        machine.SetApic(0x300, (1 << 18) | 0x05);
        Assert.Equal(0u, machine.Apic(0x280));
        machine.SetApic(0x280, 0);
        Assert.Equal(0x20u, machine.Apic(0x280));
        Assert.Equal(0x33, machine.Acknowledge());
        machine.Partition.Deliver(new MsiMessage(MsiBase, 0x05));
        machine.SetApic(0x280, 0);
        Assert.Equal(0x40u, machine.Apic(0x280));
    }

    [Fact]
    public void NMI_message_sets_the_event_without_the_APIC()
    {
        using var machine = new TestMachine();
        machine.Partition.Deliver(new MsiMessage(MsiBase, 0x400));
        Assert.True(machine.Engine().Events.HasFlag(VpEvents.Nmi));
    }

    [Fact]
    public void A_second_NMI_is_latched_behind_the_first_and_a_third_is_not()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        VpRegisters registers = machine.Partition.Processors[0].Registers;
        for (int i = 0; i < 3; i++)
        {
            machine.Partition.Deliver(new MsiMessage(MsiBase, 0x400));
        }

        machine.Partition.Deliver(new MsiMessage(MsiBase, 0x44));
        registers.ClearEvents(VpEvents.Nmi);
        Assert.Equal(-1, machine.Acknowledge());
        Assert.True(registers.PendingEvents.HasFlag(VpEvents.Nmi | VpEvents.Interrupt));
        registers.ClearEvents(VpEvents.Nmi);
        Assert.Equal(0x44, machine.Acknowledge());
        Assert.False(registers.PendingEvents.HasFlag(VpEvents.Nmi));
    }

    [Fact]
    public void PIC_interrupt_passes_LINT0_in_ExtINT_mode_only_while_asserted()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.Partition.ExternalInterrupts = new Pic();
        machine.SetApic(0x350, 0x10700);
        machine.Partition.SetExternalInterrupt(true);
        Assert.Equal(-1, machine.Acknowledge());
        machine.SetApic(0x350, 0x700);
        Assert.True(machine.Engine().Events.HasFlag(VpEvents.Interrupt));
        Assert.Equal(0x20, machine.Acknowledge());
        machine.Partition.SetExternalInterrupt(false);
        Assert.Equal(-1, machine.Acknowledge());
    }

    [Fact]
    public void PIC_interrupt_reaches_the_boot_processor_when_its_APIC_is_off()
    {
        using var machine = new TestMachine(2);
        machine.Partition.ExternalInterrupts = new Pic();
        machine.SetMsr(0x1B, 0xFEE0_0100);
        machine.Partition.SetExternalInterrupt(true);
        Assert.Equal(0x20, machine.Acknowledge());
        Assert.Equal(-1, machine.Acknowledge(1));
    }

    [Fact]
    public void X2APIC_transitions_follow_the_state_diagram()
    {
        using var machine = new TestMachine();
        IVpIntercepts vp = machine.Vp();
        Assert.False(vp.TryReadMsr(0x802, out _));
        Assert.False(vp.TryWriteMsr(0x1B, 0xFEE0_0500), "EXTD without EN");
        Assert.False(vp.TryWriteMsr(0x1B, 0xFEE0_0901), "reserved bit");
        Assert.False(vp.TryWriteMsr(0x1B, 1UL << 45), "beyond MAXPHYADDR");
        machine.SetMsr(0x1B, 0xFEE0_0D00);
        Assert.Equal(0UL, machine.Msr(0x802));
        Assert.False(vp.TryWriteMsr(0x1B, 0xFEE0_0900), "x2APIC to xAPIC");
        machine.SetMsr(0x1B, 0xFEE0_0100);
        Assert.False(vp.TryWriteMsr(0x1B, 0xFEE0_0D00), "disabled to x2APIC");
        machine.SetMsr(0x1B, 0xFEE0_0900);
    }

    [Fact]
    public void X2APIC_registers_enforce_their_access_rules()
    {
        using TestMachine machine = new TestMachine(2).EnableX2(1);
        IVpIntercepts vp = machine.Vp(1);
        Assert.Equal(1UL, machine.Msr(0x802, 1));
        Assert.Equal(2UL, machine.Msr(0x80D, 1));
        uint[] readOnly = [0x802, 0x803, 0x80A, 0x80D, 0x810, 0x818, 0x820, 0x839];
        Assert.All(readOnly, msr => Assert.False(vp.TryWriteMsr(msr, 0)));
        uint[] absent = [0x80B, 0x80E, 0x831, 0x83F, 0x800, 0x8FF];
        Assert.All(absent, msr => Assert.False(vp.TryReadMsr(msr, out _)));
        Assert.False(vp.TryWriteMsr(0x80B, 1));
        Assert.False(vp.TryWriteMsr(0x828, 1));
        Assert.False(vp.TryWriteMsr(0x808, 0x100));
        machine.SetMsr(0x80F, 0x1FF, 1);
        machine.SetMsr(0x83F, 0x77, 1);
        Assert.Equal(0x77, machine.Acknowledge(1));
        machine.SetMsr(0x80B, 0, 1);
    }

    [Fact]
    public void X2APIC_ICR_is_one_write_with_a_32_bit_destination()
    {
        using TestMachine machine = new TestMachine(3).EnableApics();
        for (int i = 0; i < 3; i++)
        {
            machine.EnableX2(i);
        }

        machine.SetMsr(0x830, (2UL << 32) | 0x45);
        Assert.Equal(0x45, machine.Acknowledge(2));
        machine.SetMsr(0x830, (0b110UL << 32) | 0x846);
        Assert.Equal([-1, 0x46], new[] { machine.Acknowledge(0), machine.Acknowledge(1) });
        machine.SetMsr(0x830, (0xFFFF_FFFFUL << 32) | 0x61);
        Assert.Equal([0x61, 0x61, 0x61], new[] { machine.Acknowledge(0), machine.Acknowledge(1), machine.Acknowledge(2) });
    }

    [Fact]
    public void Accesses_outside_the_page_go_to_the_devices()
    {
        using var machine = new TestMachine();
        machine.Vp().WriteMmio(0xFEE0_1000, 4, 1);
        machine.SetMsr(0x1B, 0xFEE0_0100);
        machine.Vp().WriteMmio(0xFEE0_0080, 4, 2);
        Assert.Equal(["write fee01000 1", "write fee00080 2"], machine.Accesses);
    }

    private sealed class Pic : IExternalInterruptSource
    {
        public byte AcknowledgeExternalInterrupt() => 0x20;
    }

    [Fact]
    public void EOI_broadcast_is_suppressed_when_SVR_says_so()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        List<byte> ended = [];
        machine.Partition.EndOfInterrupt += ended.Add;
        machine.SetApic(0xF0, 0x11FF);
        machine.Partition.Deliver(new MsiMessage(MsiBase, 0x8041));
        Assert.Equal(0x41, machine.Acknowledge());
        machine.SetApic(0xB0, 0);
        Assert.Empty(ended);
        Assert.Equal(0x11FFu, machine.Apic(0xF0));
    }
}

using Xunit;

namespace Sharpvisor.Hypervisor.Tests;

public sealed class SynicTests
{
    [Fact]
    public void Registers_have_their_reset_values_and_access_rules()
    {
        using var machine = new TestMachine();
        Assert.Equal(0UL, machine.Msr(0x4000_0080));
        Assert.Equal(1UL, machine.Msr(0x4000_0081));
        Assert.Equal(0x10000UL, machine.Msr(0x4000_0092));
        Assert.Equal(0UL, machine.Msr(0x4000_0084));
        Assert.False(machine.Vp().TryWriteMsr(0x4000_0081, 1));
        Assert.False(machine.Vp().TryWriteMsr(0x4000_0092, 0x0F));
        machine.SetMsr(0x4000_0092, 0x10000);
    }

    [Fact]
    public void Message_lands_in_the_slot_and_interrupts()
    {
        using TestMachine machine = new TestMachine().EnableApics().EnableSynic();
        Assert.True(machine.Partition.PostMessage(0, 2, 1, [1, 2, 3, 4, 5]));
        Assert.Equal(1u, machine.Slot(2, 0));
        Assert.Equal(5u, machine.Slot(2, 1));
        Assert.Equal(0x04030201u, machine.Slot(2, 4));
        Assert.Equal(0x50, machine.Acknowledge());
    }

    [Fact]
    public void Messages_keep_their_order_and_only_an_asked_for_EOM_brings_the_next()
    {
        using TestMachine machine = new TestMachine().EnableApics().EnableSynic();
        for (uint i = 1; i <= 3; i++)
        {
            Assert.True(machine.Partition.PostMessage(0, 2, i, [(byte)i]));
        }

        for (uint i = 1; i <= 3; i++)
        {
            Assert.Equal(0x50, machine.Acknowledge());
            machine.SetMsr(0x4000_0070, 0);
            Assert.Equal(i, machine.Slot(2, 0));
            Assert.Equal(i < 3, machine.EmptySlot(2));
        }

        Assert.Equal(-1, machine.Acknowledge());
        Assert.Equal(0u, machine.Slot(2, 0));
    }

    [Fact]
    public void Slot_freed_before_the_pending_flag_was_set_is_filled_without_EOM()
    {
        using TestMachine machine = new TestMachine().EnableApics().EnableSynic();
        machine.Partition.PostMessage(0, 2, 1, []);
        Assert.False(machine.EmptySlot(2));
        machine.Partition.PostMessage(0, 2, 2, []);
        Assert.Equal(2u, machine.Slot(2, 0));
    }

    [Fact]
    public void Messages_wait_until_the_page_and_the_controller_are_enabled()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        Assert.True(machine.Partition.PostMessage(0, 2, 7, [9]));
        Assert.Equal(0u, machine.Slot(2, 0));
        machine.EnableSynic();
        Assert.Equal(7u, machine.Slot(2, 0));
    }

    [Fact]
    public void Masked_or_polled_SINT_gets_messages_without_interrupt()
    {
        using TestMachine machine = new TestMachine().EnableApics().EnableSynic(2, 0x1_0050).EnableSynic(3, 0x4_0051);
        machine.Partition.PostMessage(0, 2, 1, []);
        machine.Partition.PostMessage(0, 3, 2, []);
        Assert.Equal(1u, machine.Slot(2, 0));
        Assert.Equal(2u, machine.Slot(3, 0));
        Assert.Equal(-1, machine.Acknowledge());
    }

    [Fact]
    public void Auto_EOI_vector_is_never_in_service()
    {
        using TestMachine machine = new TestMachine().EnableApics().EnableSynic(2, 0x2_0050);
        machine.Partition.PostMessage(0, 2, 1, []);
        Assert.Equal(0x50, machine.Acknowledge());
        Assert.Equal(0u, machine.Apic(0xA0));
        machine.EmptySlot(2);
        machine.Partition.PostMessage(0, 2, 2, []);
        Assert.Equal(0x50, machine.Acknowledge());
    }

    [Fact]
    public void Auto_EOI_holds_for_a_vector_that_was_pending_when_its_SINT_was_masked()
    {
        using TestMachine machine = new TestMachine().EnableApics().EnableSynic(2, 0x2_0050);
        machine.Partition.SignalEvent(0, 2, 1);
        machine.SetMsr(0x4000_0092, 0x3_0050);
        Assert.Equal(0x50, machine.Acknowledge());
        Assert.Equal(0u, machine.Apic(0xA0));
    }

    [Fact]
    public void Post_refuses_bad_targets_long_payloads_and_a_full_queue()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        Assert.False(machine.Partition.PostMessage(1, 2, 1, []));
        Assert.False(machine.Partition.PostMessage(0, 16, 1, []));
        Assert.False(machine.Partition.PostMessage(0, 2, 1, new byte[241]));
        int queued = 0;
        while (machine.Partition.PostMessage(0, 2, 1, new byte[240]))
        {
            queued++;
        }

        Assert.Equal(1024, queued);
        machine.Partition.DiscardMessages(2);
        machine.EnableSynic();
        Assert.Equal(0u, machine.Slot(2, 0));
    }

    [Fact]
    public void Signal_event_sets_flag_when_SINT_is_unmasked()
    {
        using TestMachine machine = new TestMachine().EnableApics().EnableSynic();
        Assert.True(machine.Partition.SignalEvent(0, 2, 33));
        Assert.True(machine.Memory.TryRead(TestMachine.SiefGpa + (2 * 256) + 4, out uint flags));
        Assert.Equal(2u, flags);
        Assert.Equal(0x50, machine.Acknowledge());
        machine.SetApic(0xB0, 0);

        // Already set: no second interrupt.
        Assert.True(machine.Partition.SignalEvent(0, 2, 33));
        Assert.Equal(-1, machine.Acknowledge());
    }

    [Fact]
    public void Signal_event_fails_when_SINT_is_masked_or_the_page_is_off()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        Assert.False(machine.Partition.SignalEvent(0, 2, 1));
        machine.EnableSynic(2, 0x1_0050);
        Assert.False(machine.Partition.SignalEvent(0, 2, 1));
        machine.SetMsr(0x4000_0092, 0x50);
        Assert.True(machine.Partition.SignalEvent(0, 2, 1));
        machine.SetMsr(0x4000_0082, 0);
        Assert.False(machine.Partition.SignalEvent(0, 2, 2));
        Assert.False(machine.Partition.SignalEvent(0, 2, 2048));
    }

    [Fact]
    public void Overlay_pages_give_back_what_they_covered_and_keep_their_own_content()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.Memory.TryWrite(TestMachine.SimpGpa, 0xDEADBEEFu);
        machine.EnableSynic();
        machine.Partition.PostMessage(0, 0, 5, []);
        machine.SetMsr(0x4000_0083, TestMachine.SimpGpa);
        Assert.Equal(0xDEADBEEFu, machine.Slot(0, 0));
        machine.SetMsr(0x4000_0083, TestMachine.SimpGpa | 1);
        Assert.Equal(5u, machine.Slot(0, 0));
    }

    [Fact]
    public void Pages_outside_the_address_space_are_accepted_and_invisible()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetMsr(0x4000_0080, 1);
        machine.SetMsr(0x4000_0083, 0xFFFF_FFFF_FFFF_F001);
        Assert.True(machine.Partition.PostMessage(0, 2, 1, []));
        machine.SetMsr(0x4000_0083, 0);
    }

    [Fact]
    public void An_asserted_SINT_interrupts_unless_it_is_masked()
    {
        using TestMachine machine = new TestMachine().EnableApics().EnableSynic();
        Assert.True(machine.Partition.AssertSint(0, 2));
        Assert.Equal(0x50, machine.Acknowledge());
        Assert.False(machine.Partition.AssertSint(0, 3));
        Assert.False(machine.Partition.AssertSint(9, 2));
    }
}

using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class Pic8259Tests : IDisposable
{
    private readonly TestBoard _board = new();

    public void Dispose() => _board.Dispose();

    [Fact]
    public void Interrupt_is_acknowledged_with_its_vector()
    {
        _board.InitialisePic();
        Line(3).Set(true);
        Assert.True(_board.Apic.ExternalInterrupt);
        Assert.Equal(0x33, Acknowledge());
        Assert.False(_board.Apic.ExternalInterrupt);
    }

    [Fact]
    public void Slave_interrupts_go_through_the_cascade()
    {
        _board.InitialisePic();
        Line(14).Set(true);
        Assert.Equal(0x3E, Acknowledge());
        Assert.Equal(0x04u, InService(0x20));
        Assert.Equal(0x40u, InService(0xA0));
    }

    [Fact]
    public void Second_slave_interrupt_arrives_after_both_EOIs()
    {
        _board.InitialisePic();
        Line(14).Set(true);
        Acknowledge();
        Line(15).Set(true);
        Assert.False(_board.Apic.ExternalInterrupt);
        _board.Bus.Out(0xA0, 0x20);
        _board.Bus.Out(0x20, 0x20);
        Assert.True(_board.Apic.ExternalInterrupt);
        Assert.Equal(0x3F, Acknowledge());
    }

    [Fact]
    public void Lower_priority_waits_for_EOI_and_higher_priority_does_not()
    {
        _board.InitialisePic();
        Line(4).Set(true);
        Acknowledge();
        Line(5).Set(true);
        Assert.False(_board.Apic.ExternalInterrupt);
        Line(1).Set(true);
        Assert.Equal(0x31, Acknowledge());
        _board.Bus.Out(0x20, 0x20);
        Assert.False(_board.Apic.ExternalInterrupt);
        _board.Bus.Out(0x20, 0x64);
        Assert.Equal(0x35, Acknowledge());
    }

    [Fact]
    public void Request_that_went_away_is_spurious_and_sets_no_service_bit()
    {
        _board.InitialisePic();
        _board.Bus.Out(0x4D1, 0x02);
        IInterruptLine line = Line(9);
        line.Set(true);
        line.Set(false);
        Assert.Equal(0x37, Acknowledge());
        Assert.Equal(0u, InService(0x20));
    }

    [Fact]
    public void Edge_input_asks_once_and_level_input_until_it_drops()
    {
        _board.InitialisePic();
        _board.Bus.Out(0x4D1, 0x04);
        IInterruptLine level = Line(10);
        level.Set(true);
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal(0x3A, Acknowledge());
            _board.Bus.Out(0xA0, 0x20);
            _board.Bus.Out(0x20, 0x20);
        }

        level.Set(false);
        Assert.False(_board.Apic.ExternalInterrupt);
        Line(3).Set(true);
        Acknowledge();
        _board.Bus.Out(0x20, 0x20);
        Assert.False(_board.Apic.ExternalInterrupt);
    }

    [Fact]
    public void Level_line_has_as_many_sources_as_hold_it()
    {
        _board.InitialisePic();
        _board.Bus.Out(0x4D1, 0x08);
        IInterruptLine first = Line(11);
        IInterruptLine second = Line(11);
        first.Set(true);
        second.Set(true);
        first.Set(false);
        Assert.True(_board.Apic.ExternalInterrupt);
        second.Set(false);
        Assert.False(_board.Apic.ExternalInterrupt);
    }

    [Fact]
    public void Automatic_EOI_leaves_nothing_in_service()
    {
        _board.InitialisePic(icw4: 3);
        Line(3).Set(true);
        Acknowledge();
        Assert.Equal(0u, InService(0x20));
    }

    [Fact]
    public void Rotation_on_EOI_makes_the_served_input_lowest()
    {
        _board.InitialisePic();
        Line(0).Set(true);
        Acknowledge();
        _board.Bus.Out(0x20, 0xA0);
        Line(1).Set(true);
        IInterruptLine zero = Line(0);
        zero.Set(false);
        zero.Set(true);
        Assert.Equal(0x31, Acknowledge());
    }

    [Fact]
    public void Special_mask_mode_lets_lower_priorities_past_a_masked_one_in_service()
    {
        _board.InitialisePic();
        Line(1).Set(true);
        Acknowledge();
        _board.Bus.Out(0x21, 0x02);
        Line(6).Set(true);
        Assert.False(_board.Apic.ExternalInterrupt);
        _board.Bus.Out(0x20, 0x68);
        Assert.True(_board.Apic.ExternalInterrupt);
    }

    [Fact]
    public void Poll_acknowledges_and_names_the_input()
    {
        _board.InitialisePic();
        Line(5).Set(true);
        _board.Bus.Out(0x20, 0x0C);
        Assert.Equal(0x85u, _board.Bus.In(0x20));
        Assert.False(_board.Apic.ExternalInterrupt);
        Assert.Equal(0x20u, InService(0x20));
    }

    [Fact]
    public void Mask_register_reads_back_as_Linux_probes_it()
    {
        // arch/x86/kernel/i8259.c, probe_8259A.
        _board.Bus.Out(0xA1, 0xFF);
        _board.Bus.Out(0x21, 0xFB);
        Assert.Equal(0xFBu, _board.Bus.In(0x21));
    }

    private byte Acknowledge() => _board.Chipset.ExternalInterruptSource.AcknowledgeExternalInterrupt();

    private IInterruptLine Line(int irq) => _board.Chipset.InterruptRouter.CreateIsaLine(irq);

    private uint InService(ushort port)
    {
        _board.Bus.Out(port, 0x0B);
        return _board.Bus.In(port);
    }
}

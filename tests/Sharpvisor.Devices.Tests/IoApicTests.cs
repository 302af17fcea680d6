using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class IoApicTests : IDisposable
{
    private readonly TestBoard _board = new();

    public void Dispose() => _board.Dispose();

    [Fact]
    public void Pins_start_masked_and_version_names_24_of_them()
    {
        Assert.Equal(0x0017_0020u, _board.ReadIoApic(1));
        Line(5).Set(true);
        Assert.Empty(_board.Apic.Messages);
        Assert.Equal(0x0001_0000u, _board.ReadIoApic(0x10 + (2 * 5)));
    }

    [Fact]
    public void Edge_becomes_one_message_with_destination_and_vector()
    {
        Program(5, 0x45, high: 0x0300_0000);
        IInterruptLine line = Line(5);
        line.Set(true);
        line.Set(true);
        Assert.Equal([new MsiMessage(0xFEE0_3000, 0x4045)], _board.Apic.Messages);
        line.Set(false);
        line.Set(true);
        Assert.Equal(2, _board.Apic.Messages.Count);
    }

    [Fact]
    public void Logical_destination_and_delivery_mode_are_passed_on()
    {
        Program(5, 0x0945, high: 0xFF00_0000);
        Line(5).Set(true);
        Assert.Equal([new MsiMessage(0xFEEF_F004, 0x4145)], _board.Apic.Messages);
    }

    [Fact]
    public void Timer_interrupt_is_on_pin_2()
    {
        Program(2, 0x30);
        IInterruptLine line = Line(0);
        line.Set(false);
        line.Set(true);
        Assert.Single(_board.Apic.Messages);
    }

    [Fact]
    public void Level_is_sent_again_after_EOI_while_asserted()
    {
        Program(11, 0x8000 | 0x51);
        IInterruptLine line = Line(11);
        line.Set(true);
        Assert.Equal(0xC051u, Assert.Single(_board.Apic.Messages).Data);
        Assert.NotEqual(0u, _board.ReadIoApic(0x10 + 22) & 0x4000);
        _board.Apic.Eoi(0x52);
        Assert.Single(_board.Apic.Messages);
        _board.Apic.Eoi(0x51);
        Assert.Equal(2, _board.Apic.Messages.Count);
        line.Set(false);
        _board.Apic.Eoi(0x51);
        Assert.Equal(2, _board.Apic.Messages.Count);
        Assert.Equal(0u, _board.ReadIoApic(0x10 + 22) & 0x4000);
    }

    [Fact]
    public void EOI_register_ends_a_level_interrupt_too()
    {
        Program(11, 0x8000 | 0x51);
        Line(11).Set(true);
        _board.Bus.Write(IoApic.BaseGpa + 0x40, 0x51);
        Assert.Equal(2, _board.Apic.Messages.Count);
    }

    [Fact]
    public void Unmasking_an_asserted_level_pin_sends_it()
    {
        Line(11).Set(true);
        Program(11, 0x1_8000 | 0x51);
        Assert.Empty(_board.Apic.Messages);
        Program(11, 0x8000 | 0x51);
        Assert.Single(_board.Apic.Messages);
    }

    [Fact]
    public void Switching_to_edge_clears_remote_IRR()
    {
        Program(11, 0x8000 | 0x51);
        Line(11).Set(true);
        Program(11, 0x1_0051);
        Program(11, 0x1_8051);
        Assert.Equal(0u, _board.ReadIoApic(0x10 + 22) & 0x4000);
    }

    [Fact]
    public void Registers_beyond_the_last_pin_read_0_and_ignore_writes()
    {
        _board.WriteIoApic(0x40, 0xFFFF_FFFF);
        _board.WriteIoApic(0xFF, 0xFFFF_FFFF);
        Assert.Equal(0u, _board.ReadIoApic(0x40));
        Assert.Equal(0u, _board.ReadIoApic(0xFF));
    }

    [Fact]
    public void A_line_lowered_by_one_processor_is_low_for_another_that_lowers_it_too()
    {
        Program(11, 0x8000 | 0x51);
        Program(5, 0x45);
        IInterruptLine level = Line(11);
        IInterruptLine edge = Line(5);
        level.Set(true);
        using var busy = new ManualResetEventSlim();
        using var goOn = new ManualResetEventSlim();
        _board.Apic.Delivering = _ =>
        {
            busy.Set();
            goOn.Wait(TestContext.Current.CancellationToken);
        };
        var holder = new Thread(() => edge.Set(true));
        var first = new Thread(() => level.Set(false));
        var second = new Thread(() =>
        {
            level.Set(false);
            _board.Apic.Delivering = null;
            _board.Apic.Eoi(0x51);
        });
        holder.Start();
        busy.Wait(TestContext.Current.CancellationToken);
        Start(first);
        Start(second);
        goOn.Set();
        foreach (Thread thread in (Thread[])[holder, first, second])
        {
            thread.Join();
        }

        Assert.Single(_board.Apic.Messages, m => (byte)m.Data == 0x51);
    }

    /// <summary>Returns when the thread waits for something, or is through.</summary>
    private static void Start(Thread thread)
    {
        thread.Start();
        while (thread.IsAlive && (thread.ThreadState & ThreadState.WaitSleepJoin) == 0)
        {
            Thread.Yield();
        }
    }

    private void Program(int pin, uint low, uint high = 0)
    {
        _board.WriteIoApic((byte)(0x11 + (2 * pin)), high);
        _board.WriteIoApic((byte)(0x10 + (2 * pin)), low);
    }

    private IInterruptLine Line(int irq) => _board.Chipset.InterruptRouter.CreateIsaLine(irq);
}

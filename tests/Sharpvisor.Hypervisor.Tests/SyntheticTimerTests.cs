using Xunit;

namespace Sharpvisor.Hypervisor.Tests;

public sealed class SyntheticTimerTests
{
    private const uint Config0 = 0x4000_00B0;
    private const uint Count0 = 0x4000_00B1;
    private const ulong Enable = 1;
    private const ulong Periodic = 2;
    private const ulong AutoEnable = 8;
    private const ulong Direct = (1 << 12) | (0x60 << 4);

    [Fact]
    public void One_shot_sends_one_message_with_both_times()
    {
        using TestMachine machine = new TestMachine().EnableApics().EnableSynic();
        ulong due = machine.Msr(0x4000_0020) + 100;
        machine.SetMsr(Count0 + 2, due);
        machine.SetMsr(Config0 + 2, Enable | (2 << 16));
        machine.Timers.Advance(9_000);
        Assert.Equal(0u, machine.Slot(2, 0));
        machine.Timers.Advance(5_000);
        Assert.Equal(0x8000_0010u, machine.Slot(2, 0));
        Assert.Equal(24u, machine.Slot(2, 1));
        Assert.Equal(1u, machine.Slot(2, 4));
        Assert.Equal((uint)due, machine.Slot(2, 6));
        Assert.InRange(machine.Slot(2, 8), (uint)due, (uint)due + 1);
        Assert.Equal(0x50, machine.Acknowledge());
        Assert.Equal(0UL, machine.Msr(Config0 + 2) & 1);
    }

    [Fact]
    public void Never_expires_before_the_guests_own_clock_says_so()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        ulong due = machine.Msr(0x4000_0020) + 7;
        machine.SetMsr(Config0, AutoEnable | Direct);
        machine.SetMsr(Count0, due);
        while (machine.Acknowledge() < 0)
        {
            Assert.True(machine.Msr(0x4000_0020) <= due);
            machine.Timers.Advance(1);
        }

        Assert.True(machine.Msr(0x4000_0020) >= due);
    }

    [Fact]
    public void Direct_mode_asserts_a_vector_without_SynIC()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetMsr(Config0, AutoEnable | Direct);
        Assert.Equal(0UL, machine.Msr(Config0) & 1);
        machine.SetMsr(Count0, machine.Msr(0x4000_0020) + 10);
        Assert.Equal(1UL, machine.Msr(Config0) & 1);
        machine.Timers.Advance(2_000);
        Assert.Equal(0x60, machine.Acknowledge());
    }

    [Fact]
    public void Count_in_the_past_expires_at_once()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetMsr(Config0, AutoEnable | Direct);
        machine.SetMsr(Count0, 1);
        Assert.Equal(0x60, machine.Acknowledge());
        Assert.Equal(0UL, machine.Msr(Config0) & 1);
    }

    [Fact]
    public void Count_zero_and_clearing_enable_stop_the_timer()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetMsr(Config0, AutoEnable | Direct);
        machine.SetMsr(Count0, machine.Msr(0x4000_0020) + 10);
        machine.SetMsr(Count0, 0);
        Assert.Equal(0UL, machine.Msr(Config0) & 1);
        machine.SetMsr(Count0, machine.Msr(0x4000_0020) + 10);
        machine.SetMsr(Config0, Direct);
        machine.Timers.Advance(100_000);
        Assert.Equal(-1, machine.Acknowledge());
    }

    [Fact]
    public void Message_timer_without_SINT_cannot_be_enabled()
    {
        using var machine = new TestMachine();
        machine.SetMsr(Count0, 5);
        machine.SetMsr(Config0, Enable);
        Assert.Equal(0UL, machine.Msr(Config0));
    }

    [Fact]
    public void Periodic_keeps_its_phase_and_skips_what_was_missed()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetMsr(Count0, 10_000);
        machine.SetMsr(Config0, Enable | Periodic | Direct);
        for (int i = 0; i < 4; i++)
        {
            machine.Timers.Advance(1_000_000);
            machine.Timers.Advance(100);
            Assert.Equal(0x60, machine.Acknowledge());
            machine.SetApic(0xB0, 0);
        }

        Assert.Equal(1UL, machine.Msr(Config0) & 1);
    }

    [Fact]
    public void Expiration_with_a_busy_slot_waits_for_EOM_and_periods_merge()
    {
        using TestMachine machine = new TestMachine().EnableApics().EnableSynic();
        machine.SetMsr(Count0, 10_000);
        machine.SetMsr(Config0, Enable | Periodic | (2 << 16));
        machine.Timers.Advance(5_000_000);
        Assert.Equal(0x50, machine.Acknowledge());
        machine.SetApic(0xB0, 0);
        Assert.True(machine.EmptySlot(2));
        Assert.Equal(0x50, machine.Acknowledge());
        machine.SetApic(0xB0, 0);
        Assert.False(machine.EmptySlot(2));
        Assert.Equal(-1, machine.Acknowledge());
    }

    [Fact]
    public void Timer_messages_share_a_SINT_with_posted_ones()
    {
        using TestMachine machine = new TestMachine().EnableApics().EnableSynic();
        machine.Partition.PostMessage(0, 2, 1, []);
        machine.Partition.PostMessage(0, 2, 1, []);
        machine.SetMsr(Config0, AutoEnable | (2 << 16));
        machine.SetMsr(Count0, 1);
        var types = new List<uint>();
        do
        {
            types.Add(machine.Slot(2, 0));
        }
        while (machine.EmptySlot(2));
        Assert.Equal([1u, 0x8000_0010u, 1u], types);
    }
}

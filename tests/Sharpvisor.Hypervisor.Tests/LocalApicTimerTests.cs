using Xunit;

namespace Sharpvisor.Hypervisor.Tests;

public sealed class LocalApicTimerTests
{
    [Theory]
    [InlineData(0xBu, 1)]
    [InlineData(0x0u, 2)]
    [InlineData(0x1u, 4)]
    [InlineData(0x2u, 8)]
    [InlineData(0x3u, 16)]
    [InlineData(0x8u, 32)]
    [InlineData(0x9u, 64)]
    [InlineData(0xAu, 128)]
    public void One_shot_counts_at_bus_frequency_over_the_divider(uint code, int divider)
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetApic(0x3E0, code);
        machine.SetApic(0x320, 0x40);
        machine.SetApic(0x380, 1000);
        long tick = divider * 5;
        machine.Timers.Advance(tick * 400);
        Assert.Equal(600u, machine.Apic(0x390));
        machine.Timers.Advance((tick * 600) - 1);
        Assert.Equal(-1, machine.Acknowledge());
        machine.Timers.Advance(1);
        Assert.Equal(0x40, machine.Acknowledge());
        Assert.Equal(0u, machine.Apic(0x390));
        machine.Timers.Advance(tick * 5000);
        machine.SetApic(0xB0, 0);
        Assert.Equal(-1, machine.Acknowledge());
    }

    [Fact]
    public void Periodic_repeats_without_drift()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetApic(0x3E0, 0xB);
        machine.SetApic(0x320, 0x20040);
        machine.SetApic(0x380, 200_000);
        for (int i = 0; i < 5; i++)
        {
            machine.Timers.Advance(1_000_000);
            Assert.Equal(0x40, machine.Acknowledge());
            machine.SetApic(0xB0, 0);
            Assert.Equal(200_000u, machine.Apic(0x390));
        }

        machine.SetApic(0x380, 0);
        machine.Timers.Advance(10_000_000);
        Assert.Equal(-1, machine.Acknowledge());
    }

    [Fact]
    public void TSC_deadline_fires_once_and_reads_zero_afterwards()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetMsr(0x6E0, 5);
        Assert.Equal(0UL, machine.Msr(0x6E0));
        machine.SetApic(0x320, 0x40040);
        ulong deadline = machine.Vp().ReadTsc() + 500;
        machine.SetMsr(0x6E0, deadline);
        Assert.Equal(deadline, machine.Msr(0x6E0));
        machine.SetApic(0x380, 10);
        machine.Timers.Advance(499);
        Assert.Equal(-1, machine.Acknowledge());
        machine.Timers.Advance(1);
        Assert.Equal(0x40, machine.Acknowledge());
        Assert.Equal(0UL, machine.Msr(0x6E0));
    }

    [Fact]
    public void TSC_deadline_in_the_past_fires_at_once_and_counts_the_guests_offset()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.Partition.Processors[0].Registers.State.TscOffset = 1_000_000;
        machine.SetApic(0x320, 0x40040);
        machine.SetMsr(0x6E0, machine.Vp().ReadTsc() + 1_000_001);
        Assert.Equal(-1, machine.Acknowledge());
        machine.SetMsr(0x6E0, machine.Vp().ReadTsc() + 1_000_000);
        Assert.Equal(0x40, machine.Acknowledge());
    }

    [Fact]
    public void Leaving_deadline_mode_disarms()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetApic(0x320, 0x40040);
        machine.SetMsr(0x6E0, machine.Vp().ReadTsc() + 500);
        machine.SetApic(0x320, 0x40);
        machine.Timers.Advance(1000);
        Assert.Equal(-1, machine.Acknowledge());
    }

    [Fact]
    public void Masked_timer_counts_but_does_not_interrupt()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetApic(0x380, 1000);
        machine.Timers.Advance(100_000);
        Assert.Equal(0u, machine.Apic(0x390));
        Assert.Equal(-1, machine.Acknowledge());
    }

    [Fact]
    public void A_tiny_period_does_not_flood_the_host()
    {
        using TestMachine machine = new TestMachine().EnableApics();
        machine.SetApic(0x3E0, 0xB);
        machine.SetApic(0x320, 0x20040);
        machine.SetApic(0x380, 1);
        int expirations = 0;
        for (int i = 0; i < 1000; i++)
        {
            machine.Timers.Advance(1000);
            if (machine.Acknowledge() == 0x40)
            {
                expirations++;
                machine.SetApic(0xB0, 0);
            }
        }

        Assert.InRange(expirations, 10, 21);
    }
}

using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Hypervisor.Tests;

/// <summary>These run real VP threads; each waits for what must happen, none measures time.</summary>
public sealed class VirtualProcessorTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public void Application_processors_wait_for_SIPI_and_start_at_its_page()
    {
        using var machine = new TestMachine(2, realTime: true);
        using var started = new ManualResetEventSlim();
        (ushort Selector, ulong Base, ulong Rip) seen = default;
        machine.Engine(1).Script = _ =>
        {
            VpRegisters registers = machine.Partition.Processors[1].Registers;
            seen = (registers.Segment(Segment.Cs).Selector, registers.Segment(Segment.Cs).Base, registers.State.Rip);
            started.Set();
            return VpExit.Halt;
        };
        machine.Partition.Start();
        machine.Partition.Deliver(new MsiMessage(0xFEE0_1000, 0x4500));
        Assert.False(started.IsSet);
        machine.Partition.Deliver(new MsiMessage(0xFEE0_1000, 0x4699));
        Assert.True(started.Wait(s_patience, TestContext.Current.CancellationToken));
        Assert.Equal((0x9900, 0x99000UL, 0UL), seen);
    }

    [Fact]
    public void Halted_processor_wakes_for_an_interrupt_when_IF_is_set()
    {
        using TestMachine machine = new TestMachine(realTime: true).EnableApics();
        using var halted = new ManualResetEventSlim();
        using var taken = new ManualResetEventSlim();
        machine.Engine().Script = engine =>
        {
            machine.Partition.Processors[0].Registers.State.RFlags = 0x202;
            int vector = engine.Intercepts.AcknowledgeInterrupt();
            if (vector == 0x44)
            {
                taken.Set();
            }

            halted.Set();
            return VpExit.Halt;
        };
        machine.Partition.Start();
        Assert.True(halted.Wait(s_patience, TestContext.Current.CancellationToken));
        machine.Partition.Deliver(new MsiMessage(0xFEE0_0000, 0x44));
        Assert.True(taken.Wait(s_patience, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Halted_processor_with_IF_clear_ignores_interrupts_and_wakes_for_NMI()
    {
        using TestMachine machine = new TestMachine(realTime: true).EnableApics();
        using var halted = new ManualResetEventSlim();
        using var woken = new ManualResetEventSlim();
        int runs = 0;
        machine.Engine().Script = engine =>
        {
            runs++;
            if (engine.Events.HasFlag(VpEvents.Nmi))
            {
                woken.Set();
                machine.Partition.Processors[0].Registers.ClearEvents(VpEvents.Nmi);
            }

            halted.Set();
            return VpExit.Halt;
        };
        machine.Partition.Start();
        Assert.True(halted.Wait(s_patience, TestContext.Current.CancellationToken));
        machine.Partition.Deliver(new MsiMessage(0xFEE0_0000, 0x44));
        Assert.Equal(1, runs);
        machine.Partition.Deliver(new MsiMessage(0xFEE0_0000, 0x400));
        Assert.True(woken.Wait(s_patience, TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Guest_idle_ends_with_an_interrupt_even_when_IF_is_clear_or_the_APIC_refuses_it(bool apicEnabled)
    {
        using var machine = new TestMachine(realTime: true);
        if (apicEnabled)
        {
            machine.EnableApics();
        }

        using var idle = new ManualResetEventSlim();
        using var resumed = new ManualResetEventSlim();
        int runs = 0;
        machine.Engine().Script = engine =>
        {
            if (++runs == 1)
            {
                Assert.True(engine.Intercepts.TryReadMsr(0x4000_00F0, out _));
                idle.Set();
                return VpExit.Event;
            }

            resumed.Set();
            return VpExit.Halt;
        };
        machine.Partition.Start();
        Assert.True(idle.Wait(s_patience, TestContext.Current.CancellationToken));
        Assert.False(resumed.IsSet);
        machine.Partition.Deliver(new MsiMessage(0xFEE0_0000, 0x44));
        Assert.True(resumed.Wait(s_patience, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Guest_idle_in_an_interrupt_handler_ends_with_an_interrupt_of_the_same_priority()
    {
        using TestMachine machine = new TestMachine(realTime: true).EnableApics();
        using var idle = new ManualResetEventSlim();
        using var resumed = new ManualResetEventSlim();
        machine.Partition.Deliver(new MsiMessage(0xFEE0_0000, 0xFB));
        int runs = 0;
        machine.Engine().Script = engine =>
        {
            if (++runs == 1)
            {
                Assert.Equal(0xFB, engine.Intercepts.AcknowledgeInterrupt());
                Assert.True(engine.Intercepts.TryReadMsr(0x4000_00F0, out _));
                idle.Set();
                return VpExit.Event;
            }

            resumed.Set();
            return VpExit.Halt;
        };
        machine.Partition.Start();
        Assert.True(idle.Wait(s_patience, TestContext.Current.CancellationToken));
        Assert.False(resumed.IsSet);
        machine.Partition.Deliver(new MsiMessage(0xFEE0_0000, 0xF7));
        Assert.True(resumed.Wait(s_patience, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Triple_fault_is_reported_and_freezes_all_processors()
    {
        using var machine = new TestMachine(realTime: true);
        machine.Engine().Script = _ => VpExit.Shutdown;
        machine.Partition.Start();
        PartitionExit exit = machine.Partition.WaitForExit(s_patience)!;
        Assert.Equal((PartitionExitReason.TripleFault, 0), (exit.Reason, exit.VpIndex));
    }

    [Fact]
    public void A_failing_engine_ends_the_run_and_not_the_process()
    {
        using var machine = new TestMachine(realTime: true);
        machine.Engine().Script = _ => throw new InvalidOperationException("broken on purpose");
        machine.Partition.Start();
        PartitionExit exit = machine.Partition.WaitForExit(s_patience)!;
        Assert.Equal(PartitionExitReason.Failure, exit.Reason);
        Assert.Contains("broken on purpose", exit.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Pause_stops_time_and_reset_restarts_the_boot_processor()
    {
        using var machine = new TestMachine(2, realTime: true);
        using var ran = new SemaphoreSlim(0);
        machine.Engine().Script = _ =>
        {
            ran.Release();
            return VpExit.Halt;
        };
        machine.Partition.Start();
        Assert.True(ran.Wait(s_patience, TestContext.Current.CancellationToken));
        machine.Partition.Reset();
        Assert.Equal(PartitionExitReason.Reset, machine.Partition.WaitForExit(s_patience)!.Reason);
        int resets = machine.Engine().Resets;
        machine.Partition.ResetAll();
        Assert.Equal(resets + 1, machine.Engine().Resets);
        long paused = machine.Partition.Clock.Nanoseconds;
        Assert.Equal(paused, machine.Partition.Clock.Nanoseconds);
        machine.Partition.Resume();
        Assert.True(ran.Wait(s_patience, TestContext.Current.CancellationToken));
        Assert.True(machine.Partition.Clock.Nanoseconds >= paused);
    }

    [Fact]
    public void Stop_ends_a_processor_that_runs_and_one_that_waits()
    {
        using var machine = new TestMachine(2, realTime: true);
        using var running = new ManualResetEventSlim();
        machine.Engine().Script = engine =>
        {
            running.Set();
            SpinWait spin = default;
            while (!engine.Events.HasFlag(VpEvents.Stop))
            {
                spin.SpinOnce();
            }

            return VpExit.Event;
        };
        machine.Partition.Start();
        Assert.True(running.Wait(s_patience, TestContext.Current.CancellationToken));
        machine.Partition.Stop();
        Assert.Equal(PartitionExitReason.Stopped, machine.Partition.WaitForExit(s_patience)!.Reason);
    }

    [Fact]
    public void A_device_can_power_off_from_a_processor_thread()
    {
        using var machine = new TestMachine(2, realTime: true);
        machine.Engine().Script = _ =>
        {
            machine.Partition.PowerOff();
            return VpExit.Event;
        };
        machine.Partition.Start();
        Assert.Equal(PartitionExitReason.PowerOff, machine.Partition.WaitForExit(s_patience)!.Reason);
    }
}

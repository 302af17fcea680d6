using System.Text;
using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Hypervisor.Tests;

public sealed class SyntheticMsrTests
{
    private const ulong PageGpa = 0x40000;

    [Fact]
    public void Without_the_interface_nothing_of_it_exists()
    {
        using var machine = new TestMachine(hyperV: false);
        IVpIntercepts vp = machine.Vp();
        for (uint msr = 0x4000_0000; msr < 0x4000_0200; msr++)
        {
            Assert.False(vp.TryReadMsr(msr, out _));
            Assert.False(vp.TryWriteMsr(msr, 0));
        }

        Assert.Equal(default, vp.Cpuid(0x4000_0000, 0));
        Assert.Equal(0u, vp.Cpuid(1, 0).Ecx & (1u << 31));
    }

    [Fact]
    public void Registers_that_are_not_offered_fault()
    {
        using var machine = new TestMachine();
        uint[] absent = [0x4000_0004, 0x4000_0024, 0x4000_0074, 0x4000_00A0, 0x4000_00B8, 0x4000_0106, 0x4000_0118, 0x4000_01FF];
        Assert.All(absent, msr => Assert.False(machine.Vp().TryReadMsr(msr, out _)));
        uint[] readOnly = [0x4000_0002, 0x4000_0010, 0x4000_0020, 0x4000_0022, 0x4000_0023, 0x4000_00F0];
        Assert.All(readOnly, msr => Assert.False(machine.Vp().TryWriteMsr(msr, 0)));
        Assert.False(machine.Vp().TryReadMsr(0x4000_0070, out _));
    }

    [Fact]
    public void Frequencies_and_index_are_reported()
    {
        using var machine = new TestMachine(2);
        Assert.Equal(1UL, machine.Msr(0x4000_0002, 1));
        Assert.Equal(1_000_000_000UL, machine.Msr(0x4000_0022));
        Assert.Equal(200_000_000UL, machine.Msr(0x4000_0023));
    }

    [Fact]
    public void Hypercall_page_needs_the_guest_OS_id_and_holds_a_call()
    {
        using var machine = new TestMachine();
        machine.Memory.TryWrite(PageGpa, 0x12345678u);
        machine.SetMsr(0x4000_0001, PageGpa | 1);
        Assert.Equal(PageGpa, machine.Msr(0x4000_0001));
        machine.SetMsr(0x4000_0000, 0x8100);
        machine.SetMsr(0x4000_0001, PageGpa | 1);
        Assert.Equal(0xC3C1_010Fu, Dword(machine, PageGpa));
        Assert.False(machine.Memory.TryWrite(PageGpa, 0u));
        machine.Vp().WriteMmio(PageGpa, 4, 0);
        Assert.Empty(machine.Accesses);
        machine.SetMsr(0x4000_0001, (PageGpa + 0x1000) | 1);
        Assert.Equal(0x12345678u, Dword(machine, PageGpa));
        machine.SetMsr(0x4000_0000, 0);
        Assert.Equal(0UL, machine.Msr(0x4000_0001) & 1);
        Assert.Equal(0u, Dword(machine, PageGpa + 0x1000));
    }

    [Fact]
    public void Locked_hypercall_page_stays_until_reset()
    {
        using var machine = new TestMachine();
        machine.SetMsr(0x4000_0000, 1);
        machine.SetMsr(0x4000_0001, PageGpa | 3);
        Assert.False(machine.Vp().TryWriteMsr(0x4000_0001, 0));
        machine.Partition.ResetAll();
        Assert.Equal(0UL, machine.Msr(0x4000_0001));
        Assert.Equal(0u, Dword(machine, PageGpa));
    }

    [Fact]
    public void Reference_TSC_page_agrees_with_the_counter()
    {
        using var machine = new TestMachine();
        machine.SetMsr(0x4000_0021, PageGpa | 1);
        Assert.Equal(1u, Dword(machine, PageGpa));
        Assert.True(machine.Memory.TryRead(PageGpa + 8, out ulong scale));
        Assert.True(machine.Memory.TryRead(PageGpa + 16, out long offset));
        ulong previous = 0;
        for (int i = 0; i < 1000; i++)
        {
            ulong page = Math.BigMul(machine.Vp().ReadTsc(), scale, out _) + (ulong)offset;
            Assert.Equal(page, machine.Msr(0x4000_0020));
            Assert.True(page >= previous);
            previous = page;
            machine.Timers.Advance(37_000_000_037);
        }

        // 10 MHz: 100 ns a tick, to the tick over ten hours.
        ulong expected = machine.Vp().ReadTsc() / 100;
        Assert.InRange(machine.Msr(0x4000_0020), expected - 1, expected);
    }

    [Fact]
    public void APIC_registers_reach_the_local_APIC()
    {
        using TestMachine machine = new TestMachine(2).EnableApics();
        machine.SetMsr(0x4000_0072, 0x20);
        Assert.Equal(0x20u, machine.Apic(0x80));
        machine.SetMsr(0x4000_0072, 0);
        machine.SetMsr(0x4000_0071, (1UL << 56) | 0x55);
        Assert.Equal(0x55, machine.Acknowledge(1));
        machine.SetMsr(0x4000_0070, 0, 1);
        Assert.Equal(0u, machine.Apic(0xA0, 1));
    }

    [Fact]
    public void Crash_registers_report_parameters_and_text()
    {
        using var machine = new TestMachine();
        Assert.Equal(0xC000_0000_0000_0000UL, machine.Msr(0x4000_0105));
        byte[] text = Encoding.ASCII.GetBytes("Kernel panic - not syncing");
        machine.Memory.TryWrite(PageGpa, text);
        machine.SetMsr(0x4000_0103, PageGpa);
        machine.SetMsr(0x4000_0104, (ulong)text.Length);
        machine.SetMsr(0x4000_0105, 0xC000_0000_0000_0000);
        PartitionExit exit = machine.Partition.WaitForExit(TimeSpan.Zero)!;
        Assert.Equal(PartitionExitReason.GuestCrash, exit.Reason);
        Assert.Equal(PageGpa, exit.CrashParameters![3]);
        Assert.Equal("Kernel panic - not syncing", exit.Message);
    }

    [Fact]
    public void Crash_text_outside_memory_is_left_out_and_a_storm_of_crashes_is_bounded()
    {
        using var machine = new TestMachine();
        machine.SetMsr(0x4000_0103, 0xF900_0000);
        machine.SetMsr(0x4000_0104, ulong.MaxValue);
        for (int i = 0; i < 1000; i++)
        {
            machine.SetMsr(0x4000_0105, 0xC000_0000_0000_0000);
        }

        Assert.Null(machine.Partition.WaitForExit(TimeSpan.Zero)!.Message);
        int count = 1;
        while (machine.Partition.WaitForExit(TimeSpan.Zero) != null)
        {
            count++;
        }

        Assert.Equal(16, count);
    }

    [Fact]
    public void Reset_register_asks_for_a_reset()
    {
        using var machine = new TestMachine();
        machine.SetMsr(0x4000_0003, 0);
        Assert.Null(machine.Partition.WaitForExit(TimeSpan.Zero));
        machine.SetMsr(0x4000_0003, 1);
        Assert.Equal(PartitionExitReason.Reset, machine.Partition.WaitForExit(TimeSpan.Zero)!.Reason);
    }

    private static uint Dword(TestMachine machine, ulong gpa)
    {
        Assert.True(machine.Memory.TryRead(gpa, out uint value));
        return value;
    }
}

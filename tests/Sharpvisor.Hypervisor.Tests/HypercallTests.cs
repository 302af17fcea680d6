using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Hypervisor.Tests;

public sealed class HypercallTests
{
    private const ulong Gpa = 0x30000;
    private const ulong Post = 0x5C;
    private const ulong Signal = 0x5D;
    private const ulong FlushList = 0x03;
    private const ulong Ipi = 0x0B;
    private const ulong Retarget = 0x7E;

    [Fact]
    public void VMCALL_is_undefined_before_the_guest_OS_id_outside_ring_0_and_without_the_interface()
    {
        using TestMachine machine = new TestMachine().EnterKernel();
        machine.SetMsr(0x4000_0000, 0);
        Assert.False(machine.Vp().Hypercall());
        machine.SetMsr(0x4000_0000, 1);
        machine.Partition.Processors[0].Registers.State.Cpl = 3;
        Assert.False(machine.Vp().Hypercall());

        using var bare = new TestMachine(hyperV: false);
        Assert.False(bare.Vp().Hypercall());
    }

    [Theory]
    [InlineData(0x0000UL, 0x02)]
    [InlineData(0x4444UL, 0x02)]
    [InlineData(0x8001UL | (1UL << 16), 0x03)]
    [InlineData(0x8001UL | (1UL << 32), 0x03)]
    [InlineData(0x8003UL, 0x03)]
    [InlineData(0x8003UL | (1UL << 32), 0x05)]
    [InlineData(0x8003UL | (512UL << 32), 0x04)]
    [InlineData(0x5CUL | (1UL << 27), 0x03)]
    [InlineData(0x5CUL | (1UL << 31), 0x03)]
    [InlineData(0x5CUL | (1UL << 44), 0x03)]
    [InlineData(0x5CUL | (1UL << 63), 0x03)]
    [InlineData(0x5CUL | (1UL << 32), 0x03)]
    [InlineData(0x5CUL | (1UL << 17), 0x03)]
    [InlineData(0x5CUL | (1UL << 16), 0x03)]
    [InlineData(0x03UL, 0x03)]
    [InlineData(0x03UL | (2UL << 32) | (2UL << 48), 0x03)]
    public void Bad_input_values_get_their_status(ulong control, int status)
    {
        using TestMachine machine = new TestMachine().EnterKernel();
        Assert.Equal((ulong)status, machine.Hypercall(control, Gpa) & 0xFFFF);
    }

    [Theory]
    [InlineData(Gpa + 4)]
    [InlineData(Gpa + 0xF08)]
    [InlineData(0xF800_0000UL)]
    [InlineData(0xFFFF_FFFF_FFFF_F000UL)]
    public void Misaligned_crossing_or_unmapped_input_is_an_alignment_error(ulong gpa)
    {
        using TestMachine machine = new TestMachine().EnterKernel();
        Assert.Equal(0x04UL, machine.Hypercall(Post, gpa));
    }

    [Fact]
    public void Post_message_reaches_the_port()
    {
        using TestMachine machine = new TestMachine().EnterKernel();
        (uint Type, byte[] Payload) received = default;
        machine.Partition.OpenMessagePort(1, (type, payload) =>
        {
            received = (type, payload.ToArray());
            return 0;
        });
        machine.WriteQwords(Gpa, 1, (3UL << 32) | 7, 0x00_332211);
        Assert.Equal(0UL, machine.Hypercall(Post, Gpa));
        Assert.Equal(7u, received.Type);
        Assert.Equal([0x11, 0x22, 0x33], received.Payload);
        Assert.Equal(1, machine.Statistics.Snapshot()["hypercalls.HvCallPostMessage"]);
    }

    [Theory]
    [InlineData(2UL, 7UL, 0UL, 0x12)]
    [InlineData(1UL, 0UL, 0UL, 0x05)]
    [InlineData(1UL, 0x8000_0001UL, 0UL, 0x05)]
    [InlineData(1UL, 7UL, 241UL, 0x05)]
    [InlineData(1UL, 9UL, 0UL, 0x13)]
    public void Post_message_reports_errors(ulong connection, ulong type, ulong size, int status)
    {
        using TestMachine machine = new TestMachine().EnterKernel();
        machine.Partition.OpenMessagePort(1, (type, _) => type == 9 ? (ushort)0x13 : (ushort)0);
        machine.WriteQwords(Gpa, connection, (size << 32) | type);
        Assert.Equal((ulong)status, machine.Hypercall(Post, Gpa));
    }

    [Fact]
    public void Signal_event_works_fast_and_from_memory_and_from_32_bit_code()
    {
        using TestMachine machine = new TestMachine().EnterKernel();
        var flags = new List<ushort>();
        machine.Partition.OpenEventPort(0x11, flags.Add);
        Assert.Equal(0UL, machine.Hypercall(Signal | TestMachine.Fast, (3UL << 32) | 0x11));
        machine.WriteQwords(Gpa, (4UL << 32) | 0x11);
        Assert.Equal(0UL, machine.Hypercall(Signal, Gpa));
        Assert.Equal(0x12UL, machine.Hypercall(Signal | TestMachine.Fast, 0x12));
        Assert.Equal(0x05UL, machine.Hypercall(Signal | TestMachine.Fast, (2048UL << 32) | 0x11));

        VpRegisters registers = machine.Partition.Processors[0].Registers;
        registers.State.Efer = 0;
        registers[Gpr.Rdx] = 0xFFFF_FFFF_0000_0000;
        registers[Gpr.Rax] = Signal | TestMachine.Fast;
        registers[Gpr.Rbx] = 5;
        registers[Gpr.Rcx] = 0x11;
        Assert.True(machine.Vp().Hypercall());
        Assert.Equal(0UL, registers[Gpr.Rax]);
        Assert.Equal(0UL, registers[Gpr.Rdx]);
        Assert.Equal([3, 4, 5], flags);
        machine.Partition.ClosePort(0x11);
        registers.State.Efer = 0x500;
        Assert.Equal(0x12UL, machine.Hypercall(Signal | TestMachine.Fast, 0x11));
    }

    [Fact]
    public void Flush_list_reaches_the_masked_processors_and_completes_all_reps()
    {
        using TestMachine machine = new TestMachine(3).EnterKernel();
        machine.WriteQwords(Gpa, 0, 2, 0b101);
        Assert.Equal(3UL << 32, machine.Hypercall(FlushList | (3UL << 32), Gpa));
        Assert.Equal([1, 0, 1], Enumerable.Range(0, 3).Select(i => machine.Engine(i).TlbFlushes));
        machine.WriteQwords(Gpa, 0, 1, 0);
        Assert.Equal(0UL, machine.Hypercall(0x02, Gpa));
        Assert.Equal(1, machine.Engine(1).TlbFlushes);
        machine.WriteQwords(Gpa, 0, 0x10, 1);
        Assert.Equal(0x05UL, machine.Hypercall(0x02, Gpa));
    }

    [Fact]
    public void Flush_list_must_fit_in_its_page()
    {
        using TestMachine machine = new TestMachine().EnterKernel();
        Assert.Equal(0UL, machine.Hypercall(FlushList | (509UL << 32), Gpa) & 0xFFFF);
        Assert.Equal(0x04UL, machine.Hypercall(FlushList | (510UL << 32), Gpa) & 0xFFFF);
        Assert.Equal(0x03UL, machine.Hypercall(FlushList | (12UL << 32) | TestMachine.Fast, 0) & 0xFFFF);
    }

    [Fact]
    public void Flush_Ex_takes_sparse_sets()
    {
        using TestMachine machine = new TestMachine(3).EnterKernel();
        machine.WriteQwords(Gpa, 0, 2, 0, 0b11, 0b010, ulong.MaxValue);
        Assert.Equal(0UL, machine.Hypercall(0x13 | (2 << 17), Gpa));
        Assert.Equal([0, 1, 0], Enumerable.Range(0, 3).Select(i => machine.Engine(i).TlbFlushes));
        Assert.Equal(0x05UL, machine.Hypercall(0x13 | (1 << 17), Gpa));
        machine.WriteQwords(Gpa, 0, 2, 1, 0);
        Assert.Equal(1UL << 32, machine.Hypercall(0x14 | (1UL << 32), Gpa));
        Assert.Equal([1, 2, 1], Enumerable.Range(0, 3).Select(i => machine.Engine(i).TlbFlushes));
        machine.WriteQwords(Gpa, 0, 2, 2, 0);
        Assert.Equal(0x05UL, machine.Hypercall(0x13, Gpa));
    }

    [Fact]
    public void Cluster_IPI_interrupts_the_masked_processors()
    {
        using TestMachine machine = new TestMachine(3).EnterKernel().EnableApics();
        Assert.Equal(0UL, machine.Hypercall(Ipi | TestMachine.Fast, 0xF1, 0b110));
        Assert.Equal([-1, 0xF1, 0xF1], Enumerable.Range(0, 3).Select(machine.Acknowledge));
        Assert.Equal(0x05UL, machine.Hypercall(Ipi | TestMachine.Fast, 0x0F, 0b110));
        Assert.Equal(0x05UL, machine.Hypercall(Ipi | TestMachine.Fast, 0x100, 0b110));
        Assert.Equal(0x05UL, machine.Hypercall(Ipi | TestMachine.Fast, (1UL << 32) | 0x40, 0b110));
    }

    [Fact]
    public void Cluster_IPI_Ex_takes_XMM_fast_input()
    {
        using TestMachine machine = new TestMachine(2).EnterKernel().EnableApics();
        machine.SetXmm(0, 0, 0b01, 0b10);
        Assert.Equal(0UL, machine.Hypercall(0x15 | TestMachine.Fast | (1 << 17), 0x41, 0));
        Assert.Equal([-1, 0x41], Enumerable.Range(0, 2).Select(machine.Acknowledge));
    }

    [Fact]
    public void Long_spin_wait_succeeds()
    {
        using TestMachine machine = new TestMachine().EnterKernel();
        Assert.Equal(0UL, machine.Hypercall(0x08 | TestMachine.Fast, 4096));
    }

    [Fact]
    public void A_cold_discard_hint_gives_pages_back_and_they_read_as_zeros()
    {
        using TestMachine machine = new TestMachine().EnterKernel();
        Assert.Equal(0UL, machine.Hypercall(0x8001, 0, Gpa));
        Assert.True(machine.Memory.TryRead(Gpa, out ulong capabilities));
        Assert.Equal(1UL << 8, capabilities);

        machine.Memory.TryWrite(0x40000, 0x1234UL);
        machine.Memory.TryWrite(0x41000, 0x1234UL);
        machine.Memory.TryWrite(0x42000, 0x1234UL);
        machine.WriteQwords(Gpa, 2, (0x40UL << 12) | 1);
        Assert.Equal(1UL << 32, machine.Hypercall(0x8003 | (1UL << 32), Gpa));
        Assert.True(machine.Memory.TryRead(0x41000, out ulong discarded));
        Assert.True(machine.Memory.TryRead(0x42000, out ulong kept));
        Assert.Equal((0UL, 0x1234UL), (discarded, kept));
        Assert.Equal(2, machine.Statistics["memory.discarded_pages"].Value);
    }

    [Theory]
    [InlineData(1, 0x40UL << 12)]
    [InlineData(6, 0x40UL << 12)]
    [InlineData(2, 0xF_FFFF_FFFFUL << 12)]
    [InlineData(2, (0x7FFUL << 21) | (1 << 11))]
    [InlineData(2, (1 << 11) | (1 << 12))]
    [InlineData(2, (1 << 11) | 0x7FF)]
    public void A_hint_of_another_type_or_about_no_memory_is_refused(ulong type, ulong range)
    {
        using TestMachine machine = new TestMachine().EnterKernel();
        machine.WriteQwords(Gpa, type, range);
        Assert.Equal(0x05UL, machine.Hypercall(0x8003 | (1UL << 32), Gpa));
    }

    [Fact]
    public void A_device_s_interrupt_goes_where_the_guest_retargets_it()
    {
        using TestMachine machine = new TestMachine(processors: 2).EnableApics().EnterKernel();
        Partition partition = machine.Partition;
        Assert.True(partition.TryMapInterrupt(0x5600_0010, 0x41, 0b01, out MsiMessage message));
        partition.DeliverInterrupt(0x5600_0010, message);
        Assert.Equal(0x41, machine.Acknowledge());

        // As pci-hyperv.c does it: a set of one bank.
        machine.WriteQwords(
            Gpa, ulong.MaxValue, 0x5600_0010, 1, message.Address | ((ulong)message.Data << 32), 0, 0x52 | (2UL << 32), 0, 1, 0b10);
        Assert.Equal(0UL, machine.Hypercall(Retarget | (2UL << 17), Gpa));
        partition.DeliverInterrupt(0x5600_0010, message);
        Assert.Equal((-1, 0x52), (machine.Acknowledge(0), machine.Acknowledge(1)));

        // And with a mask, before version 1.2.
        machine.WriteQwords(Gpa, ulong.MaxValue, 0x5600_0010, 1, message.Address | ((ulong)message.Data << 32), 0, 0x63, 0b01);
        Assert.Equal(0UL, machine.Hypercall(Retarget, Gpa));
        partition.DeliverInterrupt(0x5600_0010, message);
        Assert.Equal((0x63, -1), (machine.Acknowledge(0), machine.Acknowledge(1)));

        // Nobody else's, and none that is gone.
        partition.DeliverInterrupt(0x5600_0018, message);
        partition.DeliverInterrupt(0x5600_0010, message with { Data = 77 });
        partition.UnmapInterrupts(0x5600_0010);
        partition.DeliverInterrupt(0x5600_0010, message);
        Assert.Equal(-1, machine.Acknowledge());
        Assert.Equal(0x05UL, machine.Hypercall(Retarget, Gpa) & 0xFFFF);
    }

    [Theory]
    [InlineData(0UL, 0x5600_0010UL, 1UL, 0x52UL, 0b1UL, 0)]
    [InlineData(ulong.MaxValue, 0x1234UL, 1UL, 0x52UL, 0b1UL, 0)]
    [InlineData(ulong.MaxValue, 0x5600_0010UL, 2UL, 0x52UL, 0b1UL, 0)]
    [InlineData(ulong.MaxValue, 0x5600_0010UL, 1UL, 0x0FUL, 0b1UL, 0)]
    [InlineData(ulong.MaxValue, 0x5600_0010UL, 1UL, 0x152UL, 0b1UL, 0)]
    [InlineData(ulong.MaxValue, 0x5600_0010UL, 1UL, 0x52UL | (8UL << 32), 0b1UL, 0)]
    [InlineData(ulong.MaxValue, 0x5600_0010UL, 1UL, 0x52UL | (2UL << 32), 0UL, 0)]
    [InlineData(ulong.MaxValue, 0x5600_0010UL, 1UL, 0x52UL | (2UL << 32), 5UL, 2)]
    [InlineData(ulong.MaxValue, 0x5600_0010UL, 1UL, 0x52UL, 0b1UL, 1)]
    public void A_retarget_that_makes_no_sense_is_refused(ulong partition, ulong device, ulong source, ulong target, ulong mask, int variable)
    {
        using TestMachine machine = new TestMachine().EnableApics().EnterKernel();
        Assert.True(machine.Partition.TryMapInterrupt(0x5600_0010, 0x41, 1, out MsiMessage message));
        machine.WriteQwords(Gpa, partition, device, source, message.Address | ((ulong)message.Data << 32), 0, target, mask, 0, 0, 0);
        Assert.NotEqual(0UL, machine.Hypercall(Retarget | ((ulong)variable << 17), Gpa) & 0xFFFF);
    }
}

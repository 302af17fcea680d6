using Sharpvisor.Core;
using Sharpvisor.Devices.Pci;
using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class PciTests : IDisposable
{
    private readonly TestBoard _board = new();
    private readonly TestFunction _function = new();

    public PciTests()
    {
        _board.Chipset.PciBus.Add(_function);
        _board.Chipset.RunFirmware();
    }

    public void Dispose() => _board.Dispose();

    [Fact]
    public void Generation_1_functions_are_where_Hyper_V_has_them()
    {
        Assert.Equal(0x7192_8086u, _board.ReadPci(0, 0, 0));
        Assert.Equal(0x7110_8086u, _board.ReadPci(7, 0, 0));
        Assert.Equal(0x7113_8086u, _board.ReadPci(7, 3, 0));
        Assert.Equal(0x80u, _board.ReadPci(7, 0, PciConfig.HeaderType, 1));
        Assert.Equal(0x0600u, _board.ReadPci(0, 0, 0x0A, 2));
    }

    [Fact]
    public void Missing_functions_and_other_buses_read_ones()
    {
        Assert.Equal(uint.MaxValue, _board.ReadPci(31, 0, 0));
        _board.Bus.Out(0xCF8, 0x8001_0000, 4);
        Assert.Equal(uint.MaxValue, _board.Bus.In(0xCFC, 4));
        _board.Bus.Out(0xCF8, 0x0000_0000, 4);
        Assert.Equal(0xFFFFu, _board.Bus.In(0xCFC, 2));
    }

    [Fact]
    public void Address_port_takes_only_dwords()
    {
        _board.Bus.Out(0xCF8, 0x8000_3800, 4);
        _board.Bus.Out(0xCF8, 0x55);
        Assert.Equal(0x8000_3800u, _board.Bus.In(0xCF8, 4));
    }

    [Fact]
    public void BARs_answer_sizing()
    {
        _board.WritePci(8, 0, 0x10, uint.MaxValue);
        Assert.Equal(0x0000_FFF1u, _board.ReadPci(8, 0, 0x10));
        _board.WritePci(8, 0, 0x14, uint.MaxValue);
        Assert.Equal(0xFFFF_F000u, _board.ReadPci(8, 0, 0x14));
        _board.WritePci(8, 0, 0x18, uint.MaxValue);
        Assert.Equal(0u, _board.ReadPci(8, 0, 0x18));
    }

    [Fact]
    public void BARs_move_with_their_address_and_the_command_register()
    {
        uint first = _board.ReadPci(8, 0, 0x10) & 0xFFFC;
        Assert.Equal(0xC000u, first);
        Assert.Equal(0xA3u, _board.Bus.In((ushort)(first + 3)));
        _board.WritePci(8, 0, 0x10, 0xD000);
        Assert.False(_board.Bus.IsMapped((ushort)first));
        Assert.Equal(0xA5u, _board.Bus.In(0xD005));
        _board.WritePci(8, 0, PciConfig.Command, 0, 2);
        Assert.False(_board.Bus.IsMapped(0xD005));
        _board.WritePci(8, 0, PciConfig.Command, 3, 2);
        _board.WritePci(8, 0, 0x14, 0xF900_0000);
        Assert.Equal(0x123UL, _board.Bus.Read(0xF900_0123));
    }

    [Fact]
    public void BAR_at_the_top_of_the_space_is_not_mapped()
    {
        _board.WritePci(8, 0, 0x10, 0xFFFF_FFFF);
        Assert.False(_board.Bus.IsMapped(0xFFF0));
    }

    [Fact]
    public void Read_only_registers_keep_their_value_and_status_errors_clear()
    {
        _board.WritePci(8, 0, 0, 0x1234_5678);
        Assert.Equal(0x5678_1234u, _board.ReadPci(8, 0, 0));
        _function.RaiseError();
        Assert.Equal(0x8000u, _board.ReadPci(8, 0, PciConfig.Status, 2));
        _board.WritePci(8, 0, PciConfig.Status, 0x8000, 2);
        Assert.Equal(0u, _board.ReadPci(8, 0, PciConfig.Status, 2));
    }

    [Fact]
    public void Interrupt_pin_reaches_the_IOAPIC_through_its_PIRQ()
    {
        // Slot 8, INTA: PIRQA, which firmware routes to 11.
        Assert.Equal(11u, _board.ReadPci(8, 0, PciConfig.InterruptLine, 1));
        _board.WriteIoApic(0x10 + 22, 0x8000 | 0x61);
        _function.Interrupt(true);
        Assert.Equal(0xC061u, Assert.Single(_board.Apic.Messages).Data);
    }

    [Fact]
    public void Rerouting_a_PIRQ_moves_an_asserted_line()
    {
        _board.InitialisePic();
        _board.Bus.Out(0x4D1, 0x0E);
        _function.Interrupt(true);
        Assert.Equal(0x3B, _board.Chipset.ExternalInterruptSource.AcknowledgeExternalInterrupt());
        _board.Bus.Out(0xA0, 0x20);
        _board.Bus.Out(0x20, 0x20);
        _board.WritePci(7, 0, 0x60, 0x80, 1);
        Assert.False(_board.Apic.ExternalInterrupt);
        _board.WritePci(7, 0, 0x60, 10, 1);
        Assert.Equal(0x3A, _board.Chipset.ExternalInterruptSource.AcknowledgeExternalInterrupt());
    }

    [Fact]
    public void Reset_puts_every_register_back()
    {
        _board.WritePci(8, 0, 0x10, 0xD000);
        _board.Chipset.Reset();
        Assert.False(_board.Bus.IsMapped(0xD000));
        Assert.Equal(1u, _board.ReadPci(8, 0, 0x10));
        _board.Chipset.RunFirmware();
        Assert.Equal(0xC001u, _board.ReadPci(8, 0, 0x10));
    }

    [Fact]
    public void Two_functions_cannot_share_a_place() =>
        Assert.Throws<InvalidOperationException>(() => _board.Chipset.PciBus.Add(new TestFunction()));

    private sealed class TestFunction : PciFunction, IPortDevice, IMmioDevice
    {
        public TestFunction()
            : base(8, 0, new PciIdentity(0x1234, 0x5678, 0xFF0000))
        {
            DefineIoBar(0, 16, this);
            DefineMemoryBar(1, 4096, this);
            UseInterruptPin(1);
        }

        public void Interrupt(bool asserted) => InterruptPin.Set(asserted);

        public void RaiseError() => Set16(PciConfig.Status, 0x8000);

        public uint ReadPort(ushort port, int bytes) => (uint)(0xA0 + port);

        public void WritePort(ushort port, int bytes, uint value)
        {
        }

        public ulong ReadMmio(ulong offset, int bytes) => offset;

        public void WriteMmio(ulong offset, int bytes, ulong value)
        {
        }
    }
}

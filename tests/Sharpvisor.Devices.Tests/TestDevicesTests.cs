using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class TestDevicesTests : IDisposable
{
    private readonly TestBoard _board = new();

    public TestDevicesTests() => _ = new TestDevices(_board.Bus, _board.Chipset.InterruptRouter);

    public void Dispose() => _board.Dispose();

    [Fact]
    public void Wire_ports_drive_IOAPIC_pins()
    {
        _board.WriteIoApic(0x10 + 28, 0x76);
        _board.WriteIoApic(0x10 + 40, 0x77);
        _board.Bus.Out(0x200E, 1);
        _board.Bus.Out(0x2014, 1);
        Assert.Equal([0x4076u, 0x4077u], _board.Apic.Messages.Select(m => m.Data));
    }

    [Fact]
    public void Latch_keeps_what_each_width_writes()
    {
        _board.Bus.Out(0xE0, 0x1234_5678, 4);
        _board.Bus.Out(0xE0, 0xAA);
        Assert.Equal(0x1234_56AAu, _board.Bus.In(0xE0, 4));
        Assert.Equal(0x1234u, _board.Bus.In(0xE2, 2));
    }

    [Fact]
    public void Memory_is_read_back_at_every_width()
    {
        _board.Bus.Write(0xFF00_0010, 0x1122_3344_5566_7788, 8);
        Assert.Equal(0x1122_3344u, _board.Bus.Read(0xFF00_0014, 4));
        Assert.Equal(0x88UL, _board.Bus.Read(0xFF00_0010, 1));
    }
}

using System.Text;
using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class PowerTests : IDisposable
{
    private readonly TestBoard _board = new();

    public PowerTests() => _board.Chipset.RunFirmware();

    public void Dispose() => _board.Dispose();

    [Fact]
    public void ACPI_is_enabled_through_the_SMI_command_port()
    {
        Assert.Equal(0u, _board.Bus.In(0x404, 2) & 1);
        _board.Bus.Out(0xB2, 0xE1);
        Assert.Equal(1u, _board.Bus.In(0x404, 2) & 1);
        _board.Bus.Out(0xB2, 0x1E);
        Assert.Equal(0u, _board.Bus.In(0x404, 2) & 1);
    }

    [Fact]
    public void Sleep_type_of_S5_with_sleep_enable_powers_off()
    {
        _board.Bus.Out(0x404, 0x0001, 2);
        Assert.Equal(0, _board.Power.PowerOffs);
        _board.Bus.Out(0x404, 0x2001, 2);
        Assert.Equal(1, _board.Power.PowerOffs);
    }

    [Fact]
    public void Other_sleep_types_do_nothing()
    {
        _board.Bus.Out(0x404, 0x2001 | (5 << 10), 2);
        Assert.Equal(0, _board.Power.PowerOffs);
    }

    [Fact]
    public void PM_timer_runs_at_its_frequency()
    {
        uint start = _board.Bus.In(0x408, 4);
        _board.Timers.Advance(1_000_000_000);
        Assert.Equal(3_579_545u, _board.Bus.In(0x408, 4) - start);
    }

    [Fact]
    public void Power_button_raises_an_SCI_until_its_status_is_cleared()
    {
        _board.WriteIoApic(0x10 + 18, 0x8000 | 0x39);
        Assert.False(_board.Chipset.PressPowerButton());
        _board.Bus.Out(0x400, 0x100, 2);
        _board.Bus.Out(0xB2, 0xE1);
        _board.Bus.Out(0x402, 0x100, 2);
        Assert.Empty(_board.Apic.Messages);
        Assert.True(_board.Chipset.PressPowerButton());
        Assert.Single(_board.Apic.Messages);
        Assert.Equal(0x100u, _board.Bus.In(0x400, 2));
        _board.Bus.Out(0x400, 0x100, 2);
        _board.Apic.Eoi(0x39);
        Assert.Single(_board.Apic.Messages);
    }

    [Fact]
    public void Timer_overflow_interrupts_when_enabled()
    {
        _board.WriteIoApic(0x10 + 18, 0x8000 | 0x39);
        _board.Bus.Out(0xB2, 0xE1);
        _board.Bus.Out(0x402, 1, 2);
        _board.Timers.Advance(599L * 1_000_000_000);
        Assert.Empty(_board.Apic.Messages);
        _board.Timers.Advance(2L * 1_000_000_000);
        Assert.Single(_board.Apic.Messages);
    }

    [Fact]
    public void Reset_control_register_resets_on_the_rising_edge()
    {
        _board.Bus.Out(0xCF9, 0x02);
        Assert.Equal(0, _board.Power.Resets);
        _board.Bus.Out(0xCF9, 0x06);
        Assert.Equal(1, _board.Power.Resets);
    }

    [Fact]
    public void Port_92_resets_with_bit_0_and_keeps_A20()
    {
        Assert.Equal(2u, _board.Bus.In(0x92));
        _board.Bus.Out(0x92, 0x02);
        Assert.Equal(0, _board.Power.Resets);
        _board.Bus.Out(0x92, 0x03);
        Assert.Equal(1, _board.Power.Resets);
    }

    [Fact]
    public void Exit_port_ends_the_run_with_its_status()
    {
        _board.Bus.Out(0xF4, 5);
        Assert.Equal(11, _board.Power.ExitStatus);
    }

    [Fact]
    public void Configuration_device_tells_processors_and_memory()
    {
        Assert.Equal("QEMU", Encoding.ASCII.GetString(ReadConfiguration(0, 4)));
        Assert.Equal([2, 0], ReadConfiguration(5, 2));
        Assert.Equal(64UL << 20, BitConverter.ToUInt64(ReadConfiguration(3, 8)));
        Assert.Equal(0UL, BitConverter.ToUInt64(ReadConfiguration(0x11, 8)));
    }

    [Fact]
    public void Random_accesses_to_every_port_do_no_harm()
    {
        var random = new Random(4711);
        for (int i = 0; i < 100_000; i++)
        {
            ushort port = (ushort)random.Next(0x1000);
            int bytes = 1 << random.Next(3);
            if (random.Next(2) == 0)
            {
                _board.Bus.In(port, bytes);
            }
            else
            {
                _board.Bus.Out(port, (uint)random.NextInt64(1L << 32), bytes);
            }

            if (i % 64 == 0)
            {
                _board.Timers.Advance(random.Next(100_000));
            }

            _board.WriteIoApic((byte)random.Next(256), (uint)random.NextInt64(1L << 32));
            _board.Apic.Messages.Clear();
        }
    }

    private byte[] ReadConfiguration(ushort key, int bytes)
    {
        _board.Bus.Out(0x510, key, 2);
        return [.. Enumerable.Range(0, bytes).Select(_ => (byte)_board.Bus.In(0x511))];
    }
}

using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class Pit8254Tests : IDisposable
{
    private const long Millisecond = 1_000_000;

    private readonly TestBus _bus = new();
    private readonly ManualTimers _timers = new();
    private readonly TestLine _line = new();
    private readonly Pit8254 _pit;

    public Pit8254Tests() => _pit = new Pit8254(_bus, _timers, _line);

    public void Dispose() => _pit.Dispose();

    [Fact]
    public void Rate_generator_ticks_at_its_period()
    {
        Program(0, mode: 2, count: 11932);
        int start = _line.Rises;
        _timers.Advance(1000 * Millisecond);
        Assert.InRange(_line.Rises - start, 99, 100);
    }

    [Fact]
    public void Square_wave_ticks_once_a_period()
    {
        Program(0, mode: 3, count: 0);
        int start = _line.Rises;
        _timers.Advance(1000 * Millisecond);
        Assert.Equal(18, _line.Rises - start);
    }

    [Fact]
    public void One_shot_modes_rise_once()
    {
        Program(0, mode: 0, count: 1193);
        Assert.False(_line.IsAsserted);
        _timers.Advance(2 * Millisecond);
        Assert.True(_line.IsAsserted);
        int rises = _line.Rises;
        _timers.Advance(1000 * Millisecond);
        Assert.Equal(rises, _line.Rises);
        Program(0, mode: 4, count: 1193);
        rises = _line.Rises;
        _timers.Advance(1000 * Millisecond);
        Assert.Equal(rises + 1, _line.Rises);
    }

    [Fact]
    public void Latched_count_stays_while_time_goes_on()
    {
        Program(0, mode: 2, count: 0);
        _timers.Advance(10 * Millisecond);
        _bus.Out(0x43, 0x00);
        _timers.Advance(10 * Millisecond);
        uint latched = _bus.In(0x40) | (_bus.In(0x40) << 8);
        uint live = _bus.In(0x40) | (_bus.In(0x40) << 8);
        Assert.Equal(0x10000u - 11931, latched);
        Assert.Equal(0x10000u - 23863, live);
    }

    [Fact]
    public void Read_back_gives_status_then_count()
    {
        Program(2, mode: 3, count: 0x1234);
        _bus.Out(0x43, 0xC8);
        uint status = _bus.In(0x42);
        Assert.Equal(0x36u, status & 0x3F);
        Assert.Equal(0u, status & 0x40);
        uint count = _bus.In(0x42) | (_bus.In(0x42) << 8);
        Assert.Equal(0x1234u, count);
    }

    [Fact]
    public void Channel_2_counts_only_with_its_gate_as_TSC_calibration_needs()
    {
        // arch/x86/kernel/tsc.c, pit_calibrate_tsc: gate on, mode 0, wait for OUT2 in port 0x61.
        _bus.Out(0x61, 0);
        Program(2, mode: 0, count: 11932);
        _timers.Advance(20 * Millisecond);
        Assert.Equal(0u, _bus.In(0x61) & 0x20);
        _bus.Out(0x61, 1);
        _timers.Advance(9 * Millisecond);
        Assert.Equal(0u, _bus.In(0x61) & 0x20);
        _timers.Advance(2 * Millisecond);
        Assert.Equal(0x20u, _bus.In(0x61) & 0x20);
    }

    [Fact]
    public void Refresh_bit_toggles()
    {
        uint first = _bus.In(0x61) & 0x10;
        _timers.Advance(15_085);
        Assert.NotEqual(first, _bus.In(0x61) & 0x10);
    }

    [Fact]
    public void Ticks_missed_in_a_short_stall_are_caught_up_and_in_a_long_one_dropped()
    {
        Program(0, mode: 2, count: 1193);
        int start = _line.Rises;
        _timers.Stall(100 * Millisecond);
        _timers.Advance(200 * Millisecond);
        Assert.InRange(_line.Rises - start, 295, 305);

        start = _line.Rises;
        _timers.Stall(10_000 * Millisecond);
        _timers.Advance(1000 * Millisecond);
        Assert.InRange(_line.Rises - start, 1200, 1300);
    }

    [Fact]
    public void Tiny_periods_do_not_flood_the_host()
    {
        Program(0, mode: 2, count: 2);
        int start = _line.Rises;
        _timers.Advance(100 * Millisecond);
        Assert.InRange(_line.Rises - start, 1000, 2001);
    }

    [Fact]
    public void BCD_counts_in_decimal()
    {
        _bus.Out(0x43, 0xB5);
        _bus.Out(0x61, 1);
        _bus.Out(0x42, 0x00);
        _bus.Out(0x42, 0x10);
        uint count = _bus.In(0x42) | (_bus.In(0x42) << 8);
        Assert.Equal(0x1000u, count);
    }

    private void Program(int channel, int mode, ushort count)
    {
        _bus.Out(0x43, (uint)((channel << 6) | 0x30 | (mode << 1)));
        _bus.Out((ushort)(0x40 + channel), (uint)(count & 0xFF));
        _bus.Out((ushort)(0x40 + channel), (uint)(count >> 8));
    }
}

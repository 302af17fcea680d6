using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class CmosRtcTests : IDisposable
{
    private readonly TestBus _bus = new();
    private readonly ManualTimers _timers = new();
    private readonly TestLine _line = new();
    private readonly TestTime _time = new();
    private readonly CmosRtc _rtc;

    public CmosRtcTests() => _rtc = new CmosRtc(_bus, _timers, _line, _time, 3UL << 30, 1UL << 30);

    public void Dispose() => _rtc.Dispose();

    [Fact]
    public void Time_is_host_UTC_in_BCD()
    {
        Assert.Equal([0x58u, 0x59u, 0x23u, 0x29u, 0x02u, 0x24u, 0x20u], Fields());
        _time.Utc += TimeSpan.FromSeconds(2);
        Assert.Equal([0x00u, 0x00u, 0x00u, 0x01u, 0x03u, 0x24u, 0x20u], Fields());
    }

    [Fact]
    public void Binary_and_12_hour_modes_change_the_encoding()
    {
        Write(0x0B, 0x04);
        Assert.Equal(58u, Read(0));
        Assert.Equal(0x80u | 11, Read(4));
    }

    [Fact]
    public void Guest_sets_the_time_with_SET_held()
    {
        Write(0x0B, 0x82);
        foreach ((byte index, byte value) in new (byte, byte)[] { (0, 0x10), (2, 0x20), (4, 0x21), (7, 0x31), (8, 0x12), (9, 0x30), (0x32, 0x20) })
        {
            Write(index, value);
        }

        _time.Utc += TimeSpan.FromSeconds(5);
        Assert.Equal(0x10u, Read(0));
        Write(0x0B, 0x02);
        _time.Utc += TimeSpan.FromSeconds(5);
        Assert.Equal([0x15u, 0x20u, 0x21u, 0x31u, 0x12u, 0x30u, 0x20u], Fields());
    }

    [Fact]
    public void Update_in_progress_is_shown_right_before_the_second()
    {
        Assert.Equal(0u, Read(0x0A) & 0x80);
        _time.Utc += TimeSpan.FromMicroseconds(999_900);
        Assert.Equal(0x80u, Read(0x0A) & 0x80);
    }

    [Fact]
    public void Update_interrupt_comes_each_second_once_C_is_read()
    {
        Write(0x0B, 0x12);
        Pass(TimeSpan.FromSeconds(1));
        Assert.True(_line.IsAsserted);
        Assert.Equal(0x90u, Read(0x0C) & 0x90);
        Assert.False(_line.IsAsserted);
        Pass(TimeSpan.FromSeconds(1));
        Assert.True(_line.IsAsserted);
    }

    [Fact]
    public void Alarm_matches_its_time_and_wildcards()
    {
        Write(1, 0x01);
        Write(3, 0x00);
        Write(5, 0xC0);
        Write(0x0B, 0x22);
        Pass(TimeSpan.FromSeconds(2));
        Assert.False(_line.IsAsserted);
        Pass(TimeSpan.FromSeconds(1));
        Assert.True(_line.IsAsserted);
        Assert.Equal(0xA0u, Read(0x0C) & 0xA0);
    }

    [Fact]
    public void Periodic_interrupt_has_the_selected_rate()
    {
        Write(0x0A, 0x26);
        Write(0x0B, 0x42);
        int interrupts = 0;
        for (int i = 0; i < 1024; i++)
        {
            Pass(TimeSpan.FromTicks(TimeSpan.TicksPerSecond / 1024 + 1));
            if (_line.IsAsserted)
            {
                Assert.Equal(0xC0u, Read(0x0C) & 0xC0);
                interrupts++;
            }
        }

        Assert.InRange(interrupts, 1000, 1024);
    }

    [Fact]
    public void Memory_sizes_are_in_NVRAM()
    {
        Assert.Equal(640u, Read(0x15) | (Read(0x16) << 8));
        Assert.Equal(0xFFFFu, Read(0x30) | (Read(0x31) << 8));
        Assert.Equal((3072u - 16) * 16, Read(0x34) | (Read(0x35) << 8));
        Assert.Equal(1024u * 16, Read(0x5B) | (Read(0x5C) << 8) | (Read(0x5D) << 16));
        Assert.Equal(0x80u, Read(0x0D));
    }

    [Theory]
    [InlineData(0x99)]
    [InlineData(0xFF)]
    public void Nonsense_in_time_registers_is_ignored(byte value)
    {
        foreach (byte index in new byte[] { 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x32 })
        {
            Write(index, value);
        }

        Write(0x0B, 0x72);
        Pass(TimeSpan.FromDays(1));
        Read(0x0C);
    }

    private void Pass(TimeSpan time)
    {
        _time.Utc += time;
        _timers.Advance(time.Ticks * 100);
    }

    private uint[] Fields() => [Read(0), Read(2), Read(4), Read(7), Read(8), Read(9), Read(0x32)];

    private uint Read(byte index)
    {
        _bus.Out(0x70, index);
        return _bus.In(0x71);
    }

    private void Write(byte index, byte value)
    {
        _bus.Out(0x70, index);
        _bus.Out(0x71, value);
    }
}

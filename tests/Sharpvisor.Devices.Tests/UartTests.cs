using System.Text;
using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class UartTests : IDisposable
{
    private readonly TestBus _bus = new();
    private readonly TestLine _line = new();
    private readonly MemoryStream _output = new();
    private readonly Uart16550 _uart;

    public UartTests() => _uart = new Uart16550(_bus, 0x3F8, _line, _output);

    public void Dispose() => _output.Dispose();

    [Fact]
    public void Output_reaches_the_stream_byte_for_byte_in_order()
    {
        byte[] all = [.. Enumerable.Range(0, 100_000).Select(i => (byte)(i * 7))];
        foreach (byte b in all.AsSpan(0, 50_000))
        {
            _bus.Out(0x3F8, b);
        }

        Assert.Equal(50_000, _uart.WritePortString(0x3F8, 1, all.AsSpan(50_000)));
        _uart.Flush();
        Assert.Equal(all, _output.ToArray());
    }

    [Fact]
    public void Loopback_test_of_Linux_autoconfig_passes()
    {
        // drivers/tty/serial/8250/8250_port.c, autoconfig: MCR = LOOP | OUT2 | RTS must read MSR = 0x90.
        _bus.Out(0x3FC, 0x1A);
        Assert.Equal(0x90u, _bus.In(0x3FE) & 0xF0);
        _bus.Out(0x3F8, 0x5A);
        Assert.Equal(0x5Au, _bus.In(0x3F8));
        _uart.Flush();
        Assert.Empty(_output.ToArray());
    }

    [Fact]
    public void FIFO_bits_show_a_16550A()
    {
        _bus.Out(0x3FA, 1);
        Assert.Equal(0xC1u, _bus.In(0x3FA));
    }

    [Fact]
    public void Transmitter_interrupt_comes_with_its_enable_and_goes_with_IIR()
    {
        _bus.Out(0x3FC, 0x08);
        _bus.Out(0x3F9, 0x02);
        Assert.True(_line.IsAsserted);
        Assert.Equal(0x02u, _bus.In(0x3FA));
        Assert.False(_line.IsAsserted);
        _bus.Out(0x3F8, 'x');
        Assert.True(_line.IsAsserted);
    }

    [Fact]
    public void Interrupts_need_OUT2()
    {
        _bus.Out(0x3F9, 0x02);
        Assert.False(_line.IsAsserted);
        _bus.Out(0x3FC, 0x08);
        Assert.True(_line.IsAsserted);
    }

    [Fact]
    public void Input_beyond_the_FIFO_waits_without_overrun()
    {
        byte[] text = Encoding.ASCII.GetBytes(new string('a', 15) + "bcdefghijklmnopqrstuvwxyz");
        int drained = 0;
        _uart.InputDrained += () => drained++;
        _bus.Out(0x3FA, 0x81);
        _bus.Out(0x3FC, 0x08);
        _bus.Out(0x3F9, 0x01);
        _uart.Receive(text);
        Assert.True(_line.IsAsserted);
        Assert.Equal(0xC4u, _bus.In(0x3FA));
        Assert.Equal(text.Length - 16, _uart.QueuedInputBytes);
        List<byte> got = [];
        while ((_bus.In(0x3FD) & 1) != 0)
        {
            got.Add((byte)_bus.In(0x3F8));
        }

        Assert.Equal(text, got);
        Assert.Equal(1, drained);
        Assert.False(_line.IsAsserted);
        Assert.Equal(0u, _bus.In(0x3FD) & 2);
    }

    [Fact]
    public void Few_bytes_below_the_trigger_come_with_a_timeout_interrupt()
    {
        _bus.Out(0x3FA, 0xC1);
        _bus.Out(0x3FC, 0x08);
        _bus.Out(0x3F9, 0x01);
        _uart.Receive("ab"u8);
        Assert.True(_line.IsAsserted);
        Assert.Equal(0xCCu, _bus.In(0x3FA));
    }

    [Fact]
    public void Divisor_and_scratch_read_back()
    {
        _bus.Out(0x3FB, 0x83);
        _bus.Out(0x3F8, 0x34);
        _bus.Out(0x3F9, 0x12);
        Assert.Equal(0x34u, _bus.In(0x3F8));
        Assert.Equal(0x12u, _bus.In(0x3F9));
        _bus.Out(0x3FB, 0x03);
        Assert.Equal(0u, _bus.In(0x3F9));
        _bus.Out(0x3FF, 0xA5);
        Assert.Equal(0xA5u, _bus.In(0x3FF));
    }

    [Fact]
    public void Cut_output_frees_a_writer_that_waits_for_a_stuck_reader()
    {
        using var gate = new ManualResetEventSlim();
        var bus = new TestBus();
        var uart = new Uart16550(bus, 0x3F8, new TestLine(), new StuckStream(gate));
        var writer = new Thread(() =>
        {
            for (int i = 0; i < 300_000; i++)
            {
                bus.Out(0x3F8, 'x');
            }
        });
        writer.Start();
        uart.CutOutput();
        writer.Join();
        gate.Set();
    }

    private sealed class StuckStream(ManualResetEventSlim gate) : MemoryStream
    {
        public override void Write(byte[] buffer, int offset, int count) => gate.Wait();
    }
}

using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class I8042Tests
{
    private readonly TestBus _bus = new();
    private readonly TestLine _keyboard = new();
    private readonly TestLine _aux = new();
    private readonly TestPower _power = new();
    private readonly I8042 _controller;

    public I8042Tests() => _controller = new I8042(_bus, _keyboard, _aux, _power);

    [Fact]
    public void Controller_passes_its_self_test()
    {
        _bus.Out(0x64, 0xAA);
        Assert.Equal([0x55u], Drain());
    }

    [Fact]
    public void Keyboard_answers_reset_and_identify()
    {
        _bus.Out(0x60, 0xFF);
        Assert.Equal([0xFAu, 0xAAu], Drain());
        _bus.Out(0x60, 0xF2);
        Assert.Equal([0xFAu, 0xABu, 0x83u], Drain());
        _bus.Out(0x60, 0xED);
        _bus.Out(0x60, 0x02);
        Assert.Equal([0xFAu, 0xFAu], Drain());
    }

    [Fact]
    public void Each_byte_makes_an_edge()
    {
        _bus.Out(0x60, 0xFF);
        Assert.True(_keyboard.IsAsserted);
        int rises = _keyboard.Rises;
        _bus.In(0x60);
        Assert.Equal(rises + 1, _keyboard.Rises);
        _bus.In(0x60);
        Assert.False(_keyboard.IsAsserted);
    }

    [Fact]
    public void Aux_loop_returns_the_byte_as_aux_data()
    {
        // drivers/input/serio/i8042.c, i8042_check_aux.
        _bus.Out(0x64, 0xD3);
        _bus.Out(0x60, 0x5A);
        Assert.Equal(0x21u, _bus.In(0x64) & 0x21);
        Assert.Equal(0x5Au, _bus.In(0x60));
    }

    [Fact]
    public void Mouse_answers_reset()
    {
        _bus.Out(0x64, 0x60);
        _bus.Out(0x60, 0x47);
        _bus.Out(0x64, 0xD4);
        _bus.Out(0x60, 0xFF);
        Assert.True(_aux.IsAsserted);
        Assert.Equal([0xFAu, 0xAAu, 0x00u], Drain());
    }

    [Theory]
    [InlineData(0xFE)]
    [InlineData(0xF0)]
    public void Pulsing_output_bit_0_resets_the_machine(byte command)
    {
        _bus.Out(0x64, command);
        Assert.Equal(1, _power.Resets);
    }

    [Fact]
    public void Output_port_bit_0_low_resets_and_A20_does_not()
    {
        _bus.Out(0x64, 0xD1);
        _bus.Out(0x60, 0xDD);
        Assert.Equal(0, _power.Resets);
        _bus.Out(0x64, 0xD1);
        _bus.Out(0x60, 0xDE);
        Assert.Equal(1, _power.Resets);
    }

    [Fact]
    public void Queues_are_bounded_whatever_the_guest_sends()
    {
        for (int i = 0; i < 100_000; i++)
        {
            _bus.Out(0x60, 0xFF);
            _bus.Out(0x64, 0x20);
        }

        Assert.InRange(Drain().Count, 1, 200);
    }

    [Fact]
    public void Typed_keys_arrive_in_set_1()
    {
        Assert.True(_controller.Keyboard.TrySend(new KeyStroke(0x1E, ScanCodePrefix.None, true)));
        Assert.True(_controller.Keyboard.TrySend(new KeyStroke(0x1E, ScanCodePrefix.None, false)));
        Assert.True(_controller.Keyboard.TrySend(new KeyStroke(0x48, ScanCodePrefix.E0, true)));
        Assert.True(_controller.Keyboard.TrySend(new KeyStroke(0x1D, ScanCodePrefix.E1, true)));
        Assert.Equal([0x1Eu, 0x9Eu, 0xE0u, 0x48u, 0xE1u, 0x1Du, 0x45u], Drain());
    }

    [Fact]
    public void A_key_is_typed_as_a_whole_or_not_at_all()
    {
        int taken = 0;
        while (_controller.Keyboard.TrySend(new KeyStroke(0x48, ScanCodePrefix.E0, true)))
        {
            taken++;
        }

        Assert.InRange(taken, 8, 100);
        Assert.Equal(taken * 2, Drain().Count);
        Assert.True(_controller.Keyboard.TrySend(new KeyStroke(0x48, ScanCodePrefix.E0, true)));
    }

    [Fact]
    public void A_mouse_reports_movement_buttons_and_no_wheel_until_asked()
    {
        EnableMouse();
        _controller.Pointer.Report(new PointerState(0, 0, PointerButtons.None, 0));
        Drain();
        _controller.Pointer.Report(new PointerState(32 * 5, 43 * 3, PointerButtons.Left, 1));
        Assert.Equal([0x29u, 5u, 0xFDu], Drain());
        _controller.Pointer.Report(new PointerState(32 * 5, 43 * 3, PointerButtons.None, 0));
        Assert.Equal([0x08u, 0u, 0u], Drain());
    }

    [Fact]
    public void A_mouse_asked_by_sample_rates_has_a_wheel_and_five_buttons()
    {
        // intellimouse_detect, then im_explorer_detect.
        foreach (byte rate in (byte[])[200, 100, 80, 200, 200, 80])
        {
            Mouse(0xF3);
            Mouse(rate);
        }

        Drain();
        Mouse(0xF2);
        Assert.Equal([0xFAu, 4u], Drain());
        EnableMouse();
        _controller.Pointer.Report(new PointerState(0, 0, PointerButtons.Back | PointerButtons.Right, 1));
        Assert.Equal([0x0Au, 0u, 0u, 0x1Fu], Drain());
        _controller.Pointer.Report(new PointerState(0, 0, PointerButtons.Forward, -2));
        Assert.Equal([0x08u, 0u, 0u, 0x22u], Drain());
    }

    [Fact]
    public void Movement_that_is_not_read_adds_up_and_is_bounded()
    {
        EnableMouse();
        for (int i = 0; i < 10_000; i++)
        {
            _controller.Pointer.Report(new PointerState((ushort)(i * 3), 0, PointerButtons.None, 1));
        }

        List<uint> packets = Drain();
        Assert.InRange(packets.Count, 3, 64);
        Assert.Equal(30_000 * 1024 / 32768, packets.Where((_, i) => i % 3 == 1).Sum(b => (int)b), 1.0);
    }

    private void EnableMouse()
    {
        _bus.Out(0x64, 0xA8);
        _bus.Out(0x64, 0x60);
        _bus.Out(0x60, 0x47);
        Mouse(0xF4);
        Drain();
    }

    private void Mouse(byte value)
    {
        _bus.Out(0x64, 0xD4);
        _bus.Out(0x60, value);
    }

    private List<uint> Drain()
    {
        List<uint> bytes = [];
        while ((_bus.In(0x64) & 1) != 0)
        {
            bytes.Add(_bus.In(0x60));
        }

        return bytes;
    }
}

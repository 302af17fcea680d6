// The synthetic keyboard and mouse against the C# guest end of their protocols.
using System.Buffers.Binary;
using Sharpvisor.Core;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Input;
using Sharpvisor.Vsp.Input;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

public sealed class InputTests
{
    private static readonly KeyStroke s_up = new(0x48, ScanCodePrefix.E0, true);

    [Fact]
    public void A_keyboard_takes_its_one_version_and_types_what_atkbd_reads()
    {
        var vsp = new KeyboardVsp();
        using var bus = new DeviceBus(vsp);
        var guest = new KeyboardVsc(bus.Open());
        Assert.False(guest.RequestVersion(0x0002_0000));
        Assert.False(vsp.IsActive);
        Assert.True(guest.RequestVersion());
        Assert.True(vsp.IsActive);
        Assert.True(vsp.TrySend(new KeyStroke(0x1E, ScanCodePrefix.None, true)));
        Assert.True(vsp.TrySend(new KeyStroke(0x1E, ScanCodePrefix.None, false)));
        Assert.True(vsp.TrySend(s_up));
        Assert.True(vsp.TrySend(s_up with { Pressed = false }));
        Assert.True(vsp.TrySend(new KeyStroke(0x1D, ScanCodePrefix.E1, true)));
        Assert.Equal([0x1E], guest.ReceiveBytes());
        Assert.Equal([0x9E], guest.ReceiveBytes());
        Assert.Equal([0xE0, 0x48], guest.ReceiveBytes());
        Assert.Equal([0xE0, 0xC8], guest.ReceiveBytes());
        Assert.Equal([0xE1, 0x1D], guest.ReceiveBytes());
        guest.Send(4, 6);
        DeviceBus.Until(() => vsp.Leds == 6);
    }

    [Fact]
    public void A_guest_that_does_not_read_is_told_no_more_and_goes_on_later()
    {
        var vsp = new KeyboardVsp();
        using var bus = new DeviceBus(vsp);
        var guest = new KeyboardVsc(bus.Open(ringPages: 2));
        Assert.True(guest.RequestVersion());
        int taken = 0;
        while (vsp.TrySend(s_up))
        {
            taken++;
        }

        Assert.InRange(taken, 64, 400);
        for (int i = 0; i < taken; i++)
        {
            Assert.Equal([0xE0, 0x48], guest.ReceiveBytes());
        }

        Assert.True(vsp.TrySend(s_up));
        Assert.Equal([0xE0, 0x48], guest.ReceiveBytes());
        bus.Close(guest.Channel);
        Assert.False(vsp.IsActive);
        Assert.True(vsp.TrySend(s_up));
    }

    [Fact]
    public void A_mouse_describes_itself_and_reports_positions()
    {
        var vsp = new MouseVsp();
        using var bus = new DeviceBus(vsp);
        var guest = new MouseVsc(bus.Open());
        Assert.False(guest.RequestVersion(0x0001_0000));
        MouseVsc mouse = Negotiate(guest, vsp);
        vsp.Report(new PointerState(100, 20_000, PointerButtons.Left | PointerButtons.Forward, -1));
        vsp.Report(new PointerState(65_535, 32_767, PointerButtons.None, 0));
        Assert.Equal((0x11, 100, 20_000, -1), mouse.ReceiveReport());
        Assert.Equal((0, 32_767, 32_767, 0), mouse.ReceiveReport());
    }

    [Fact]
    public void A_guest_that_reads_late_sees_where_the_mouse_is_and_all_turns_of_its_wheel()
    {
        var vsp = new MouseVsp();
        using var bus = new DeviceBus(vsp);
        MouseVsc guest = Negotiate(new MouseVsc(bus.Open(ringPages: 2)), vsp);
        for (int i = 1; i <= 300; i++)
        {
            vsp.Report(new PointerState((ushort)i, 1, PointerButtons.None, (sbyte)(i > 290 ? 1 : 0)));
        }

        (int _, int x, int _, int wheel) = guest.ReceiveReport();
        int turned = wheel;
        while (x != 300)
        {
            (_, x, _, wheel) = guest.ReceiveReport();
            turned += wheel;
        }

        Assert.Equal(10, turned);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Garbage_is_survived_and_the_next_driver_works(int seed)
    {
        var random = new Random(seed);
        var keyboard = new KeyboardVsp();
        using (var bus = new DeviceBus(keyboard))
        {
            GuestChannel channel = bus.Open();
            DeviceBus.Fuzz(channel, random, 5000, r => Words(r, 1, 6));
            bus.Close(channel);
            Assert.True(new KeyboardVsc(bus.Open()).RequestVersion());
        }

        var mouse = new MouseVsp();
        using (var bus = new DeviceBus(mouse))
        {
            GuestChannel channel = bus.Open();
            DeviceBus.Fuzz(channel, random, 5000, r => Words(r, 0, 40));
            bus.Close(channel);
            Negotiate(new MouseVsc(bus.Open()), mouse);
        }
    }

    // Mostly small numbers, so that the guest's messages often make sense.
    private static byte[] Words(Random random, int fewest, int most)
    {
        byte[] packet = new byte[random.Next(fewest, most)];
        random.NextBytes(packet);
        for (int at = 0; at + 4 <= packet.Length && random.Next(6) != 0; at += 4)
        {
            BinaryPrimitives.WriteInt32LittleEndian(packet.AsSpan(at), at == 4 ? packet.Length - 8 : random.Next(3) << (random.Next(2) * 16));
        }

        return packet;
    }

    private static MouseVsc Negotiate(MouseVsc guest, MouseVsp vsp)
    {
        Assert.True(guest.RequestVersion());
        (ushort vendor, ushort product, byte[] descriptor) = guest.ReceiveDeviceInfo();
        Assert.Equal((0x045E, 0x0621, 65), (vendor, product, descriptor.Length));
        Assert.False(vsp.IsActive);
        guest.Acknowledge();
        DeviceBus.Until(() => vsp.IsActive);
        return guest;
    }
}

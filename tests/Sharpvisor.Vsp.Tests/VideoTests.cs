// The synthetic display adapter against the C# guest end of its protocol.
using System.Runtime.InteropServices;
using Sharpvisor.Core;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Video;
using Sharpvisor.Vsp.Video;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

public sealed class VideoTests : IDisposable
{
    private const ulong Mmio = 0xFC00_0000;

    private readonly GuestMemory _memory = new(16 << 20);
    private readonly SharedMemory _vram;
    private readonly VideoVsp _vsp;
    private readonly DeviceBus _bus;
    private readonly ScreenImage _image = new();

    public VideoTests()
    {
        _vram = _memory.CreateSharedMemory(2 << 20);
        _vsp = new VideoVsp(_memory, _vram, 640, 400);
        _bus = new DeviceBus(_vsp, _memory);
    }

    public void Dispose() => _bus.Dispose();

    [Theory]
    [InlineData(3, 2, true)]
    [InlineData(3, 3, true)]
    [InlineData(3, 4, true)]
    [InlineData(3, 5, true)]
    [InlineData(3, 0, false)]
    [InlineData(3, 6, false)]
    [InlineData(4, 2, false)]
    public void Versions_that_drivers_ask_for_are_taken(ushort major, ushort minor, bool accepted) =>
        Assert.Equal(accepted, new VideoVsc(_bus.Open()).RequestVersion(major, minor));

    [Fact]
    public void Resolutions_fit_into_video_memory_and_the_preferred_one_is_the_default()
    {
        VideoVsc guest = Negotiated();
        Assert.Equal(2, _bus.Offer.MmioMegabytes);
        (IReadOnlyList<(int Width, int Height)> list, int index) = guest.RequestResolutions();
        Assert.Equal((640, 400), list[index]);
        Assert.Contains((800, 600), list);
        Assert.All(list, r => Assert.InRange(r.Width * r.Height * 4, 1, 2 << 20));
        Assert.Single(guest.RequestResolutions(most: 1).Resolutions);
    }

    [Fact]
    public void What_the_guest_writes_to_video_memory_is_what_is_shown()
    {
        VideoVsc guest = Negotiated();
        Assert.False(_vsp.TryCapture(_image));
        Assert.True(guest.PlaceVram(Mmio));
        Assert.False(_vsp.TryCapture(_image));
        guest.UpdateSituation(active: true, 32, 640, 400, 640 * 4);
        Assert.True(_memory.TryWrite(Mmio + (4 * ((640 * 399) + 639)), 0xFF12_3456));
        Assert.True(_memory.TryWrite(Mmio, 0xFFAB_CDEF));
        Assert.True(_vsp.TryCapture(_image));
        Assert.Equal((640, 400), (_image.Width, _image.Height));
        Assert.Equal((0xAB_CDEFu, 0x12_3456u), (_image.Row(0)[0], _image.Row(399)[639]));
        guest.UpdateSituation(active: false, 32, 640, 400, 640 * 4);
        Assert.False(_vsp.TryCapture(_image));
    }

    [Fact]
    public void A_guest_may_show_its_own_memory_and_16_bits_a_pixel()
    {
        VideoVsc guest = Negotiated();
        Assert.True(guest.PlaceVram(13 << 20));
        guest.UpdateSituation(active: true, 16, 320, 200, 1024, offset: 4096);
        Assert.True(_memory.TryWrite((13 << 20) + 4096 + 1024, (ushort)0xF81F));
        Assert.True(_vsp.TryCapture(_image));
        Assert.Equal(0xFF_00FFu, _image.Row(1)[0]);
        // RAM stays RAM when the driver goes.
        _bus.Close(guest.Channel);
        Assert.True(_memory.TryRead((13 << 20) + 4096 + 1024, out ushort kept));
        Assert.Equal(0xF81F, kept);
    }

    [Fact]
    public void Video_memory_moves_and_leaves_nothing_behind()
    {
        VideoVsc guest = Negotiated();
        Assert.True(guest.PlaceVram(Mmio));
        Assert.True(guest.PlaceVram(Mmio + (1 << 20)));
        Assert.Equal(0UL, _memory.PageEntry(Mmio >> 12));
        Assert.NotEqual(0UL, _memory.PageEntry((Mmio + (2 << 20)) >> 12));
        Assert.False(guest.PlaceVram(ulong.MaxValue - 4095));
        Assert.False(guest.PlaceVram((15 << 20) + 4096));
        Assert.Equal(0UL, _memory.PageEntry((Mmio + (1 << 20)) >> 12));
        Assert.True(guest.PlaceVram(Mmio));
        _bus.Close(guest.Channel);
        Assert.Equal(0UL, _memory.PageEntry(Mmio >> 12));
        Assert.False(_vsp.IsActive);
    }

    [Theory]
    [InlineData(32, 0, 400, 2560, 0)]
    [InlineData(32, 640, 0, 2560, 0)]
    [InlineData(32, 4097, 10, 20000, 0)]
    [InlineData(32, 640, 400, 2559, 0)]
    [InlineData(32, 640, 400, uint.MaxValue, 0)]
    [InlineData(32, 640, 400, 2560, (2 << 20) - (2560 * 400) + 1)]
    [InlineData(32, uint.MaxValue, uint.MaxValue, uint.MaxValue, uint.MaxValue)]
    [InlineData(8, 640, 400, 2560, 0)]
    public void A_situation_outside_video_memory_shows_nothing(int depth, uint width, uint height, uint pitch, uint offset)
    {
        VideoVsc guest = Negotiated();
        Assert.True(guest.PlaceVram(Mmio));
        guest.UpdateSituation(active: true, depth, width, height, pitch, offset);
        Assert.False(_vsp.TryCapture(_image));
    }

    [Fact]
    public void A_watched_guest_reports_changes_and_is_believed()
    {
        VideoVsc guest = Negotiated();
        Assert.True(guest.PlaceVram(Mmio));
        guest.UpdateSituation(active: true, 32, 640, 400, 640 * 4);
        Assert.NotEqual(_vsp.Version, _vsp.Version);
        _vsp.SetWatched(true);
        Assert.True(guest.ReceiveFeatureChange());
        guest.ReportDirt(0, 0, 10, 10);
        DeviceBus.Until(() => _vsp.Version == _vsp.Version);
        long before = _vsp.Version;
        guest.ReportDirt(0, 0, 10, 10);
        DeviceBus.Until(() => _vsp.Version != before);
        _vsp.SetWatched(false);
        Assert.False(guest.ReceiveFeatureChange());
        Assert.NotEqual(_vsp.Version, _vsp.Version);
    }

    [Fact]
    public void A_pointer_is_drawn_over_the_picture()
    {
        VideoVsc guest = Negotiated();
        Assert.True(guest.PlaceVram(Mmio));
        guest.UpdateSituation(active: true, 32, 640, 400, 640 * 4);
        uint[] argb = [0xFF00_FF00, 0x0012_3456, 0x80FF_FFFF, 0xFFFF_0000];
        guest.ShowPointer(638, -1, 2, 2, MemoryMarshal.AsBytes(argb.AsSpan()));
        guest.UpdateSituation(active: true, 32, 640, 400, 640 * 4);
        Assert.True(_vsp.TryCapture(_image));
        Assert.Equal((0x80_8080u, 0xFF_0000u, 0u), (_image.Row(0)[638], _image.Row(0)[639], _image.Row(1)[638]));
    }

    [Theory]
    [InlineData(41)]
    [InlineData(42)]
    public void Garbage_is_survived_and_the_next_driver_works(int seed)
    {
        var random = new Random(seed);
        GuestChannel channel = _bus.Open();
        Assert.True(new VideoVsc(channel).RequestVersion(3, 5));
        DeviceBus.Fuzz(channel, random, 5000, r =>
        {
            _ = r.Next(50) == 0 && _vsp.TryCapture(_image);
            return RandomMessage(r);
        });
        _bus.Close(channel);
        VideoVsc guest = Negotiated();
        Assert.True(guest.PlaceVram(Mmio));
        guest.UpdateSituation(active: true, 32, 640, 400, 640 * 4);
        Assert.True(_vsp.TryCapture(_image));
    }

    private static byte[] RandomMessage(Random random)
    {
        byte[] message = new byte[random.Next(0, 80)];
        random.NextBytes(message);
        for (int at = 0; at + 4 <= message.Length && random.Next(12) != 0; at += 4)
        {
            int value = at switch
            {
                0 => 1,
                4 => message.Length - 8,
                8 => random.Next(1, 17),
                _ => random.Next(4) == 0 ? random.Next() : random.Next(1024),
            };
            BitConverter.TryWriteBytes(message.AsSpan(at), value);
        }

        // Often a place for video memory that makes sense, and a version that is taken.
        if (message.Length >= 33 && random.Next(3) == 0)
        {
            message[8] = 3;
            message[24] = 1;
            BitConverter.TryWriteBytes(message.AsSpan(25), Mmio + ((ulong)random.Next(16) << 20));
        }
        else if (message.Length >= 20 && message[8] == 1)
        {
            BitConverter.TryWriteBytes(message.AsSpan(16), 0x0005_0003);
        }

        return message;
    }

    private VideoVsc Negotiated()
    {
        var guest = new VideoVsc(_bus.Open());
        Assert.True(guest.RequestVersion(3, 5));
        return guest;
    }
}

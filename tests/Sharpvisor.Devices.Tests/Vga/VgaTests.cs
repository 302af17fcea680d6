// The VGA adapter: what vgacon programs and writes is what is shown; video memory follows its BAR.
using Sharpvisor.Core;
using Sharpvisor.Devices.Vga;
using Xunit;

namespace Sharpvisor.Devices.Tests.Vga;

public sealed class VgaTests : IDisposable
{
    private readonly TestBoard _board = new();
    private readonly VgaAdapter _vga;
    private readonly ScreenImage _image = new();

    public VgaTests()
    {
        _vga = new VgaAdapter(_board.Bus, _board.Memory, 8 << 20);
        _board.Chipset.PciBus.Add(_vga);
    }

    public void Dispose() => _board.Dispose();

    [Fact]
    public void A_character_is_drawn_where_it_is_written_in_its_colours()
    {
        Capture();
        Assert.Equal((640, 400), (_image.Width, _image.Height));
        // 'A', light red on blue, in row 2, column 3.
        _board.Bus.Write(0xB8000 + (((2 * 80) + 3) * 2), 0x1C41, 2);
        Capture();
        for (int y = 0; y < 16; y++)
        {
            for (int x = 0; x < 8; x++)
            {
                bool lit = (VgaFont.Glyphs[('A' * 16) + y] & (0x80 >> x)) != 0;
                Assert.Equal(lit ? 0xFF_5555u : 0x00_00AAu, _image.Row((2 * 16) + y)[(3 * 8) + x]);
            }
        }

        Assert.Equal(0x1C41ul, _board.Bus.Read(0xB8000 + (((2 * 80) + 3) * 2), 2));
    }

    [Fact]
    public void The_cursor_and_the_start_address_are_the_CRT_controllers()
    {
        WriteCrt(0x0A, 14);
        WriteCrt(0x0B, 15);
        WriteCrt(0x0E, 0);
        WriteCrt(0x0F, 81);
        Capture();
        Assert.Equal((0u, 0xAA_AAAAu, 0xAA_AAAAu), (_image.Row(16 + 13)[8], _image.Row(16 + 14)[8], _image.Row(16 + 15)[15]));
        // vgacon scrolls by moving the start: the cursor goes up a row.
        WriteCrt(0x0D, 80);
        Capture();
        Assert.Equal((0xAA_AAAAu, 0u), (_image.Row(15)[8], _image.Row(16 + 15)[8]));
        WriteCrt(0x0A, 0x20);
        Capture();
        Assert.Equal(0u, _image.Row(15)[8]);
    }

    [Fact]
    public void A_font_is_loaded_as_vgacon_does_and_read_back()
    {
        // vgacon_do_font_op: plane 2, sequential, at 0xA0000.
        Out(0x3C4, 0x0402);
        Out(0x3C4, 0x0604);
        Out(0x3CE, 0x0204);
        Out(0x3CE, 0x0005);
        Out(0x3CE, 0x0006);
        Assert.Equal(VgaFont.Glyphs[('A' * 16) + 5], (byte)_board.Bus.Read(0xA0000 + ('A' * 32) + 5, 1));
        for (ulong i = 0; i < 16; i++)
        {
            _board.Bus.Write(0xA0000 + ('A' * 32) + i, 0x81, 1);
        }

        Out(0x3C4, 0x0302);
        Out(0x3C4, 0x0204);
        Out(0x3CE, 0x0004);
        Out(0x3CE, 0x1005);
        Out(0x3CE, 0x0E06);
        _board.Bus.Write(0xB8000, 0x0741, 2);
        Capture();
        Assert.Equal((0xAA_AAAAu, 0u, 0xAA_AAAAu), (_image.Row(0)[0], _image.Row(0)[1], _image.Row(0)[7]));
    }

    [Fact]
    public void Colours_come_from_the_palette_and_the_DAC()
    {
        _board.Bus.Out(0x3C8, 7);
        _board.Bus.Out(0x3C9, 63);
        _board.Bus.Out(0x3C9, 32);
        _board.Bus.Out(0x3C9, 1);
        _board.Bus.Write(0xB8000, 0x07DB, 2);
        Capture();
        Assert.Equal(0xFF_8204u, _image.Row(5)[3]);
        _board.Bus.Out(0x3C7, 7);
        Assert.Equal((63u, 32u, 1u), (_board.Bus.In(0x3C9), _board.Bus.In(0x3C9), _board.Bus.In(0x3C9)));
        // Attribute 7 to palette entry 4, through the flip-flop that reading 0x3DA resets.
        _board.Bus.In(0x3DA);
        _board.Bus.Out(0x3C0, 0x07);
        _board.Bus.Out(0x3C0, 0x04);
        _board.Bus.Out(0x3C0, 0x20);
        Capture();
        Assert.Equal(0xAA_0000u, _image.Row(5)[3]);
    }

    [Fact]
    public void Planar_writes_combine_with_the_latches()
    {
        Out(0x3C4, 0x0604);
        Out(0x3CE, 0x0506);
        Out(0x3CE, 0x0005);
        Out(0x3C4, 0x0F02);
        _board.Bus.Write(0xA0000, 0xF0, 1);
        _board.Bus.Read(0xA0000, 1);
        // Exclusive or, the low six bits only.
        Out(0x3CE, 0x1803);
        Out(0x3CE, 0x3F08);
        _board.Bus.Write(0xA0001, 0xFF, 1);
        Assert.Equal(0xCFul, _board.Bus.Read(0xA0001, 1));
        // Write mode 2: a colour; read mode 1: compare with it.
        Out(0x3CE, 0x0003);
        Out(0x3CE, 0xFF08);
        Out(0x3CE, 0x0A05);
        _board.Bus.Write(0xA0002, 0x05, 1);
        Out(0x3CE, 0x0502);
        Out(0x3CE, 0x0F07);
        Assert.Equal(0xFFul, _board.Bus.Read(0xA0002, 1));
    }

    [Fact]
    public void Sixteen_colours_come_from_four_planes()
    {
        // The registers in which mode 12h differs from mode 3: 640 by 480, planes, 80 bytes a line.
        Out(0x3C4, 0x0604);
        Out(0x3CE, 0x0005);
        Out(0x3CE, 0x0506);
        WriteCrt(0x11, 0x0C);
        WriteCrt(0x07, 0x3E);
        WriteCrt(0x12, 0xDF);
        WriteCrt(0x09, 0x40);
        WriteCrt(0x14, 0x00);
        // Plane 2 and plane 0, the pixel at (9, 479): colour 5.
        Out(0x3C4, 0x0502);
        _board.Bus.Write(0xA0000 + (479 * 80) + 1, 0x40, 1);
        Capture();
        Assert.Equal((640, 480), (_image.Width, _image.Height));
        Assert.Equal((0u, 0xAA_00AAu, 0u), (_image.Row(479)[8], _image.Row(479)[9], _image.Row(479)[10]));
    }

    [Fact]
    public void Two_hundred_fifty_six_colours_are_a_byte_a_pixel()
    {
        // Mode 13h: chained planes, doubleword addresses, every line twice.
        Out(0x3C4, 0x0F02);
        Out(0x3C4, 0x0E04);
        Out(0x3CE, 0x4005);
        Out(0x3CE, 0x0506);
        WriteCrt(0x09, 0x41);
        WriteCrt(0x14, 0x40);
        _board.Bus.Out(0x3C8, 200);
        _board.Bus.Out(0x3C9, 63);
        _board.Bus.Out(0x3C9, 0);
        _board.Bus.Out(0x3C9, 32);
        _board.Bus.Write(0xA0000 + (199 * 320) + 318, 200, 1);
        Capture();
        Assert.Equal((320, 200), (_image.Width, _image.Height));
        Assert.Equal(0xFF_0082u, _image.Row(199)[318]);
        Assert.NotEqual(0xFF_0082u, _image.Row(199)[317]);
    }

    [Fact]
    public void Video_memory_is_where_its_BAR_is_and_RAM_wins_over_it()
    {
        _board.WritePci(8, 0, 0x10, 0xF800_0000);
        _board.WritePci(8, 0, 4, 3, 2);
        Assert.True(_vga.TrySetLinearMode(1024, 768));
        Assert.Equal(new LinearFrameBuffer(0xF800_0000, 1024, 768, 4096, 8 << 20), _vga.FrameBuffer);
        Assert.True(_board.Memory.TryWrite(0xF800_0000 + (4 * 1025), 0x00AB_CDEFu));
        Capture();
        Assert.Equal((1024, 768, 0xAB_CDEFu), (_image.Width, _image.Height, _image.Row(1)[1]));
        _board.WritePci(8, 0, 0x10, 0x0080_0000);
        Assert.False(_board.Memory.TryRead(0xF800_0000, out uint _));
        Assert.True(_board.Memory.TryWrite(0x0080_0000, 1u));
        Capture();
        Assert.Equal(0u, _image.Row(0)[0]);
        _board.WritePci(8, 0, 0x10, 0xFFFF_FFFF);
        Assert.Equal(0xFF80_0008u, _board.ReadPci(8, 0, 0x10));
        _board.WritePci(8, 0, 0x10, 0xFA00_0000);
        Assert.True(_board.Memory.TryRead(0xFA00_0000 + (4 * 1025), out uint kept));
        Assert.Equal(0x00AB_CDEFu, kept);
        Assert.False(_vga.TrySetLinearMode(2048, 2048));
    }

    [Fact]
    public void A_reset_brings_back_text_and_an_unmapped_BAR()
    {
        _board.WritePci(8, 0, 0x10, 0xF800_0000);
        _board.WritePci(8, 0, 4, 3, 2);
        Assert.True(_vga.TrySetLinearMode(800, 600));
        _board.Chipset.Reset();
        Assert.Null(_vga.FrameBuffer);
        Assert.False(_board.Memory.TryRead(0xF800_0000, out uint _));
        Capture();
        Assert.Equal(640, _image.Width);
    }

    [Theory]
    [InlineData(61)]
    [InlineData(62)]
    public void Random_registers_and_writes_do_no_harm(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 60_000; i++)
        {
            switch (random.Next(5))
            {
                case 0:
                    _board.Bus.Write(0xA0000 + (ulong)random.Next(0x20000 - 8), (ulong)random.NextInt64(), 1 << random.Next(4));
                    break;
                case 1:
                    _board.Bus.Read(0xA0000 + (ulong)random.Next(0x20000 - 8), 1 << random.Next(4));
                    break;
                case 2:
                    _board.Bus.In((ushort)random.Next(0x3B0, 0x3E0), 1 << random.Next(3));
                    break;
                default:
                    _board.Bus.Out((ushort)random.Next(0x3B0, 0x3E0), (uint)random.Next(random.Next(2) == 0 ? 32 : 65536), 1 << random.Next(3));
                    break;
            }

            if (i % 200 == 0)
            {
                _vga.TryCapture(_image);
            }
        }

        _vga.SetTextMode();
        Capture();
        Assert.Equal((640, 400), (_image.Width, _image.Height));
    }

    private void Capture() => Assert.True(_vga.TryCapture(_image));

    private void WriteCrt(byte index, byte value) => Out(0x3D4, (ushort)(index | (value << 8)));

    private void Out(ushort port, ushort value) => _board.Bus.Out(port, value, 2);
}

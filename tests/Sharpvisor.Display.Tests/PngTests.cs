using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Display.Tests;

public sealed class PngTests
{
    [Fact]
    public void A_picture_comes_out_as_it_went_in()
    {
        var image = new ScreenImage();
        image.Resize(3, 2);
        uint[] pixels = [0xFF0000, 0x00FF00, 0x0000FF, 0x123456, 0xFFFFFF, 0];
        pixels.CopyTo(image.Pixels);
        using var file = new MemoryStream();
        PngWriter.Write(file, image);

        byte[] png = file.ToArray();
        Assert.Equal([0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A], png[..8]);
        // The specification's own example of a chunk: the last one, with its CRC.
        Assert.Equal([0, 0, 0, 0, (byte)'I', (byte)'E', (byte)'N', (byte)'D', 0xAE, 0x42, 0x60, 0x82], png[^12..]);
        Assert.Equal("IHDR", Encoding.ASCII.GetString(png, 12, 4));
        Assert.Equal([0, 0, 0, 3, 0, 0, 0, 2, 8, 2, 0, 0, 0], png[16..29]);
        int bytes = BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(33));
        using var zlib = new ZLibStream(new MemoryStream(png, 41, bytes), CompressionMode.Decompress);
        using var rows = new MemoryStream();
        zlib.CopyTo(rows);
        Assert.Equal(
            [0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0x12, 0x34, 0x56, 255, 255, 255, 0, 0, 0],
            rows.ToArray());
    }
}

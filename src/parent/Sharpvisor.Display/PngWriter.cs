// A picture as PNG: 8-bit truecolour, one IDAT (Portable Network Graphics (PNG) Specification, W3C, 2003).
using System.Buffers.Binary;
using System.IO.Compression;
using Sharpvisor.Core;

namespace Sharpvisor.Display;

/// <summary>Writes PNG files.</summary>
public static class PngWriter
{
    private const byte TrueColour = 2;

    private static readonly uint[] s_crcTable = BuildCrcTable();

    private static ReadOnlySpan<byte> Signature => [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A];

    public static void Write(Stream stream, ScreenImage image)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(image);
        stream.Write(Signature);
        Span<byte> header = stackalloc byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, image.Width);
        BinaryPrimitives.WriteInt32BigEndian(header[4..], image.Height);
        header[8] = 8;
        header[9] = TrueColour;
        header[10] = header[11] = header[12] = 0;
        WriteChunk(stream, "IHDR"u8, header);
        WriteChunk(stream, "IDAT"u8, Compress(image));
        WriteChunk(stream, "IEND"u8, []);
    }

    private static byte[] Compress(ScreenImage image)
    {
        using var compressed = new MemoryStream();
        using (var zlib = new ZLibStream(compressed, CompressionLevel.Fastest))
        {
            // Each row begins with its filter; 0: none.
            byte[] row = new byte[1 + (3 * image.Width)];
            for (int y = 0; y < image.Height; y++)
            {
                ReadOnlySpan<uint> pixels = image.Row(y);
                for (int x = 0; x < pixels.Length; x++)
                {
                    row[(3 * x) + 1] = (byte)(pixels[x] >> 16);
                    row[(3 * x) + 2] = (byte)(pixels[x] >> 8);
                    row[(3 * x) + 3] = (byte)pixels[x];
                }

                zlib.Write(row);
            }
        }

        return compressed.ToArray();
    }

    private static void WriteChunk(Stream stream, ReadOnlySpan<byte> type, ReadOnlySpan<byte> data)
    {
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        stream.Write(number);
        stream.Write(type);
        stream.Write(data);
        BinaryPrimitives.WriteUInt32BigEndian(number, ~Crc(Crc(uint.MaxValue, type), data));
        stream.Write(number);
    }

    private static uint Crc(uint crc, ReadOnlySpan<byte> bytes)
    {
        foreach (byte b in bytes)
        {
            crc = s_crcTable[(byte)(crc ^ b)] ^ (crc >> 8);
        }

        return crc;
    }

    private static uint[] BuildCrcTable()
    {
        uint[] table = new uint[256];
        for (uint n = 0; n < 256; n++)
        {
            uint c = n;
            for (int bit = 0; bit < 8; bit++)
            {
                c = (c & 1) != 0 ? 0xEDB8_8320 ^ (c >> 1) : c >> 1;
            }

            table[n] = c;
        }

        return table;
    }
}

// The encodings of a rectangle's pixels: raw (RFB 3.8, 7.7.1), ZRLE (7.7.6), and Zlib (encoding 6, registered with the RFB project: raw pixels in a
// zlib stream). A zlib stream lasts as long as its connection.
using System.Buffers.Binary;
using System.IO.Compression;
using Sharpvisor.Core;

namespace Sharpvisor.Display.Vnc;

/// <summary>One connection's encoder. Not thread-safe.</summary>
internal sealed class RectangleEncoder : IDisposable
{
    public const int Raw = 0;
    public const int Zlib = 6;
    public const int Zrle = 16;

    private const int TileSide = 64;
    private const int LargestPalette = 16;

    private readonly MemoryStream _compressed = new();
    private readonly MemoryStream _plain = new();
    private readonly uint[] _tile = new uint[TileSide * TileSide];
    private readonly uint[] _palette = new uint[LargestPalette];
    private ZLibStream? _zlib;
    private ZLibStream? _zrle;

    public static bool IsSupported(int encoding) => encoding is Raw or Zlib or Zrle;

    /// <summary>Appends a rectangle with its header.</summary>
    public void Write(MemoryStream target, ScreenImage image, Rectangle area, int encoding, PixelFormat format)
    {
        Span<byte> header = stackalloc byte[12];
        BinaryPrimitives.WriteUInt16BigEndian(header, (ushort)area.X);
        BinaryPrimitives.WriteUInt16BigEndian(header[2..], (ushort)area.Y);
        BinaryPrimitives.WriteUInt16BigEndian(header[4..], (ushort)area.Width);
        BinaryPrimitives.WriteUInt16BigEndian(header[6..], (ushort)area.Height);
        BinaryPrimitives.WriteInt32BigEndian(header[8..], encoding);
        target.Write(header);
        if (encoding == Raw)
        {
            WriteRaw(target, image, area, format);
            return;
        }

        _plain.SetLength(0);
        if (encoding == Zlib)
        {
            WriteRaw(_plain, image, area, format);
        }
        else
        {
            WriteTiles(image, area, format);
        }

        Compress(target, ref encoding == Zlib ? ref _zlib : ref _zrle);
    }

    public void Dispose()
    {
        _zlib?.Dispose();
        _zrle?.Dispose();
        _compressed.Dispose();
        _plain.Dispose();
    }

    private static void WriteRaw(MemoryStream target, ScreenImage image, Rectangle area, PixelFormat format)
    {
        for (int y = area.Y; y < area.Y + area.Height; y++)
        {
            format.Write(image.Row(y).Slice(area.X, area.Width), target, compact: false);
        }
    }

    private void Compress(MemoryStream target, ref ZLibStream? stream)
    {
        stream ??= new ZLibStream(_compressed, CompressionLevel.Fastest, leaveOpen: true);
        _compressed.SetLength(0);
        stream.Write(_plain.GetBuffer().AsSpan(0, (int)_plain.Length));
        // Ends at a byte, with everything written so far in it: zlib's Z_SYNC_FLUSH.
        stream.Flush();
        Span<byte> length = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(length, (int)_compressed.Length);
        target.Write(length);
        target.Write(_compressed.GetBuffer().AsSpan(0, (int)_compressed.Length));
    }

    private void WriteTiles(ScreenImage image, Rectangle area, PixelFormat format)
    {
        for (int y = area.Y; y < area.Y + area.Height; y += TileSide)
        {
            int height = Math.Min(TileSide, area.Y + area.Height - y);
            for (int x = area.X; x < area.X + area.Width; x += TileSide)
            {
                int width = Math.Min(TileSide, area.X + area.Width - x);
                for (int row = 0; row < height; row++)
                {
                    image.Row(y + row).Slice(x, width).CopyTo(_tile.AsSpan(row * width));
                }

                WriteTile(width, height, format);
            }
        }
    }

    private void WriteTile(int width, int height, PixelFormat format)
    {
        ReadOnlySpan<uint> tile = _tile.AsSpan(0, width * height);
        int colours = CountColours(tile);
        if (colours > LargestPalette)
        {
            _plain.WriteByte(0);
            format.Write(tile, _plain, compact: true);
            return;
        }

        // 1: one colour. 2 to 16: so many, an index a pixel.
        _plain.WriteByte((byte)colours);
        format.Write(_palette.AsSpan(0, colours), _plain, compact: true);
        if (colours > 1)
        {
            WriteIndices(tile, width, colours);
        }
    }

    private void WriteIndices(ReadOnlySpan<uint> tile, int width, int colours)
    {
        int bits = colours <= 2 ? 1 : colours <= 4 ? 2 : 4;
        for (int row = 0; row < tile.Length; row += width)
        {
            int packed = 0;
            int used = 0;
            for (int x = 0; x < width; x++)
            {
                packed = (packed << bits) | _palette.AsSpan(0, colours).IndexOf(tile[row + x]);
                used += bits;
                if (used == 8)
                {
                    _plain.WriteByte((byte)packed);
                    (packed, used) = (0, 0);
                }
            }

            if (used > 0)
            {
                _plain.WriteByte((byte)(packed << (8 - used)));
            }
        }
    }

    /// <returns>The colours, which are then in the palette; more than it holds: too many.</returns>
    private int CountColours(ReadOnlySpan<uint> tile)
    {
        int colours = 0;
        uint last = ~tile[0];
        foreach (uint pixel in tile)
        {
            if (pixel == last || _palette.AsSpan(0, colours).Contains(pixel))
            {
                last = pixel;
                continue;
            }

            if (colours == LargestPalette)
            {
                return LargestPalette + 1;
            }

            _palette[colours++] = last = pixel;
        }

        return colours;
    }
}

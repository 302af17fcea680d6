// RFB 3.8, 7.4, PIXEL_FORMAT: how a client wants its pixels.
using System.Buffers.Binary;

namespace Sharpvisor.Display.Vnc;

/// <summary>A checked true-colour format, and the conversion to it.</summary>
internal sealed class PixelFormat
{
    public const int WireBytes = 16;

    private readonly uint[] _red;
    private readonly uint[] _green;
    private readonly uint[] _blue;
    private readonly bool _bigEndian;
    // ZRLE (7.7.6): of four bytes, the one that holds no colour is left out.
    private readonly int _compactFirst;

    private PixelFormat(int bytes, int depth, bool bigEndian, (ushort Max, byte Shift) red, (ushort Max, byte Shift) green, (ushort Max, byte Shift) blue)
    {
        Bytes = bytes;
        _bigEndian = bigEndian;
        _red = BuildTable(red);
        _green = BuildTable(green);
        _blue = BuildTable(blue);
        uint used = _red[255] | _green[255] | _blue[255];
        bool low = (used & 0xFF00_0000) == 0;
        bool isCompact = bytes == 4 && depth <= 24 && (low || (used & 0xFF) == 0);
        CompactBytes = isCompact ? 3 : bytes;
        _compactFirst = isCompact && low == bigEndian ? 1 : 0;
    }

    /// <summary>32 bits, 0x00RRGGBB, little endian.</summary>
    public static PixelFormat Native { get; } = new(4, 24, false, (255, 16), (255, 8), (255, 0));

    /// <summary>Of a pixel: 1, 2 or 4.</summary>
    public int Bytes { get; }

    /// <summary>Of ZRLE's CPIXEL.</summary>
    public int CompactBytes { get; }

    /// <exception cref="VncException">A format that is not served.</exception>
    public static PixelFormat Parse(ReadOnlySpan<byte> wire)
    {
        int bits = wire[0];
        if (bits is not (8 or 16 or 32) || wire[3] == 0)
        {
            throw new VncException("the client wants colour maps or an odd pixel size");
        }

        (ushort, byte) Channel(ReadOnlySpan<byte> w, int index)
        {
            ushort max = BinaryPrimitives.ReadUInt16BigEndian(w[(4 + (2 * index))..]);
            byte shift = w[10 + index];
            return shift < 32 && ((ulong)max << shift) >> bits == 0 ? (max, shift) : throw new VncException("a colour lies outside its pixel");
        }

        return new PixelFormat(bits / 8, wire[1], wire[2] != 0, Channel(wire, 0), Channel(wire, 1), Channel(wire, 2));
    }

    /// <summary>The wire form of <see cref="Native"/>.</summary>
    public static void WriteNative(Span<byte> wire)
    {
        ReadOnlySpan<byte> format = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];
        format.CopyTo(wire);
    }

    /// <summary>Appends pixels.</summary>
    public void Write(ReadOnlySpan<uint> pixels, Stream target, bool compact)
    {
        int size = compact ? CompactBytes : Bytes;
        int first = compact ? _compactFirst : 0;
        Span<byte> buffer = stackalloc byte[64 * 4];
        Span<byte> one = stackalloc byte[4];
        for (int start = 0; start < pixels.Length; start += 64)
        {
            ReadOnlySpan<uint> part = pixels[start..Math.Min(start + 64, pixels.Length)];
            for (int i = 0; i < part.Length; i++)
            {
                Encode(part[i], one);
                one.Slice(first, size).CopyTo(buffer[(i * size)..]);
            }

            target.Write(buffer[..(part.Length * size)]);
        }
    }

    private void Encode(uint pixel, Span<byte> one)
    {
        uint value = _red[(byte)(pixel >> 16)] | _green[(byte)(pixel >> 8)] | _blue[(byte)pixel];
        if (!_bigEndian)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(one, value);
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(one, value << (32 - (8 * Bytes)));
        }
    }

    private static uint[] BuildTable((ushort Max, byte Shift) channel)
    {
        uint[] table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            table[i] = ((i * channel.Max) + 127) / 255 << channel.Shift;
        }

        return table;
    }
}

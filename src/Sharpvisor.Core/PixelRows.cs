// Frame buffer formats that guests use, as pixels.
using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Sharpvisor.Core;

/// <summary>Conversions of one row to 0x00RRGGBB.</summary>
public static class PixelRows
{
    public static bool IsSupported(int depthBits) => depthBits is 16 or 24 or 32;

    /// <param name="source">At least <c>destination.Length</c> pixels: X8R8G8B8, R8G8B8 or R5G6B5, little endian.</param>
    public static void Convert(ReadOnlySpan<byte> source, int depthBits, Span<uint> destination)
    {
        switch (depthBits)
        {
            case 32:
                ReadOnlySpan<uint> pixels = MemoryMarshal.Cast<byte, uint>(source)[..destination.Length];
                for (int i = 0; i < destination.Length; i++)
                {
                    destination[i] = pixels[i] & 0xFF_FFFF;
                }

                break;
            case 24:
                for (int i = 0; i < destination.Length; i++)
                {
                    destination[i] = source[3 * i] | ((uint)source[(3 * i) + 1] << 8) | ((uint)source[(3 * i) + 2] << 16);
                }

                break;
            default:
                for (int i = 0; i < destination.Length; i++)
                {
                    uint p = BinaryPrimitives.ReadUInt16LittleEndian(source[(2 * i)..]);
                    destination[i] = (Widen(p >> 11, 5) << 16) | (Widen((p >> 5) & 0x3F, 6) << 8) | Widen(p & 0x1F, 5);
                }

                break;
        }
    }

    private static uint Widen(uint value, int bits) => (value << (8 - bits)) | (value >> ((2 * bits) - 8));
}

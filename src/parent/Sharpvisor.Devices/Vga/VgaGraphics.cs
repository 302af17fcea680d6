// What a VGA adapter shows in a graphics mode: 16 colours in four planes (modes 0Dh to 12h), or 256 colours, chained (13h) or not (IBM PS/2 Hardware Interface
// Technical Reference, "Video Subsystem": "All-Points-Addressable Graphics Modes").
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Vga;

/// <summary>Draws graphics; not those that imitate a CGA. Not thread-safe: the adapter locks.</summary>
internal static class VgaGraphics
{
    private const int LargestLines = 1024;

    public static bool TryDraw(VgaRegisters registers, VgaMemory memory, ScreenImage image)
    {
        byte[] crt = registers.Crt;
        bool has256Colours = (registers.Graphics[5] & 0x40) != 0;
        int lines = registers.DisplayedLines;
        // Lines may be shown several times over: maximum scan line, and bit 7, double scanning.
        int repeated = ((crt[9] & 0x1F) + 1) << (crt[9] >> 7);
        int width = (crt[1] + 1) * (has256Colours ? 4 : 8);
        int height = lines / repeated;
        if (lines > LargestLines || height == 0)
        {
            return false;
        }

        image.Resize(width, height);
        if (!registers.IsScreenOn)
        {
            image.Pixels.Clear();
            return true;
        }

        int start = (crt[0xC] << 8) | crt[0xD];
        int stride = crt[0x13] * 2;
        for (int y = 0; y < height; y++)
        {
            if (has256Colours)
            {
                DrawBytes(registers, memory, image.Row(y), start + (y * stride));
            }
            else
            {
                DrawPlanes(registers, memory, image.Row(y), start + (y * stride));
            }
        }

        return true;
    }

    private static void DrawBytes(VgaRegisters registers, VgaMemory memory, Span<uint> row, int at)
    {
        // Underline location, bit 6: doubleword addresses, as the processor's are when planes are chained.
        int scale = (registers.Crt[0x14] & 0x40) != 0 ? 4 : 1;
        for (int x = 0; x < row.Length; x++)
        {
            int offset = (at + (x >> 2)) * scale;
            row[x] = registers.DacColour(memory.Plane(x & 3)[offset & 0xFFFF]);
        }
    }

    private static void DrawPlanes(VgaRegisters registers, VgaMemory memory, Span<uint> row, int at)
    {
        int enabled = registers.Attribute[0x12] & 0xF;
        for (int x = 0; x < row.Length; x++)
        {
            int offset = (at + (x >> 3)) & 0xFFFF;
            int colour = 0;
            for (int plane = 0; plane < 4; plane++)
            {
                colour |= ((memory.Plane(plane)[offset] >> (7 - (x & 7))) & 1) << plane;
            }

            row[x] = registers.Colour(colour & enabled);
        }
    }
}

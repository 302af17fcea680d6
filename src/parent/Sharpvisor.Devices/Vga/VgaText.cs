// What a VGA adapter shows in a text mode (IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem": "Alphanumeric Modes").
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Vga;

/// <summary>Draws text. Not thread-safe: the adapter locks.</summary>
internal static class VgaText
{
    private const int LargestColumns = 256;
    private const int LargestLines = 1024;
    private const int GlyphStride = 32;

    /// <summary>False when the registers describe no picture.</summary>
    public static bool TryDraw(VgaRegisters registers, VgaMemory memory, ScreenImage image)
    {
        byte[] crt = registers.Crt;
        int columns = crt[1] + 1;
        int lines = registers.DisplayedLines;
        int glyphHeight = (crt[9] & 0x1F) + 1;
        int rows = lines / glyphHeight;
        if (columns > LargestColumns || lines > LargestLines || rows == 0)
        {
            return false;
        }

        int glyphWidth = (registers.Sequencer[1] & 1) != 0 ? 8 : 9;
        image.Resize(columns * glyphWidth, rows * glyphHeight);
        if (!registers.IsScreenOn)
        {
            image.Pixels.Clear();
            return true;
        }

        Span<uint> colours = stackalloc uint[16];
        for (int i = 0; i < colours.Length; i++)
        {
            colours[i] = registers.Colour(i);
        }

        var page = new Page(registers, memory, glyphWidth, glyphHeight);
        int start = (crt[0xC] << 8) | crt[0xD];
        for (int row = 0; row < rows; row++)
        {
            int first = start + (row * crt[0x13] * 2);
            for (int column = 0; column < columns; column++)
            {
                page.DrawCell(image, row, column, (first + column) & 0xFFFF, colours);
            }
        }

        return true;
    }

    private readonly ref struct Page(VgaRegisters registers, VgaMemory memory, int glyphWidth, int glyphHeight)
    {
        private readonly int _cursorAt = (registers.Crt[0xE] << 8) | registers.Crt[0xF];
        private readonly bool _isCursorOn = (registers.Crt[0xA] & 0x20) == 0;
        private readonly int _cursorFirst = registers.Crt[0xA] & 0x1F;
        private readonly int _cursorLast = registers.Crt[0xB] & 0x1F;
        private readonly bool _blinks = (registers.Attribute[0x10] & 8) != 0;
        private readonly bool _widensLines = (registers.Attribute[0x10] & 4) != 0;
        private readonly int _fontA = FontOffset(registers.Sequencer[3] >> 2 & 3, registers.Sequencer[3] >> 5 & 1);
        private readonly int _fontB = FontOffset(registers.Sequencer[3] & 3, registers.Sequencer[3] >> 4 & 1);

        public void DrawCell(ScreenImage image, int row, int column, int at, ReadOnlySpan<uint> colours)
        {
            byte character = memory.Characters[at];
            byte attribute = memory.Attributes[at];
            uint foreground = colours[attribute & 0xF];
            // A blinking character is shown lit: whoever looks at a picture wants to read it.
            uint background = colours[(attribute >> 4) & (_blinks ? 7 : 15)];
            int font = ((attribute & 8) != 0 ? _fontA : _fontB) + (character * GlyphStride);
            bool isCursor = _isCursorOn && at == _cursorAt;
            for (int y = 0; y < glyphHeight; y++)
            {
                int bits = memory.Fonts[(font + y) & 0xFFFF];
                if (isCursor && y >= _cursorFirst && y <= _cursorLast)
                {
                    bits = 0xFF;
                }

                Span<uint> pixels = image.Row((row * glyphHeight) + y).Slice(column * glyphWidth, glyphWidth);
                for (int x = 0; x < 8; x++)
                {
                    pixels[x] = (bits & (0x80 >> x)) != 0 ? foreground : background;
                }

                if (glyphWidth == 9)
                {
                    // The ninth column of line drawing characters repeats the eighth.
                    pixels[8] = _widensLines && character is >= 0xC0 and <= 0xDF && (bits & 1) != 0 ? foreground : background;
                }
            }
        }

        // Character map select: eight generators of 8 KiB, in this order.
        private static int FontOffset(int low, int high) => (low * 0x4000) + (high * 0x2000);
    }
}

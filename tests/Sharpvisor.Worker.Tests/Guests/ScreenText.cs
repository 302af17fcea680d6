// Reads text off a screen that shows the VGA adapter's own font.
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.Devices.Vga;

namespace Sharpvisor.Worker.Tests.Guests;

internal static class ScreenText
{
    /// <summary>The rows of text; what is no printable ASCII character is a '?'.</summary>
    public static string Read(ScreenImage image)
    {
        var characters = new Dictionary<UInt128, char>();
        for (char c = ' '; c <= '~'; c++)
        {
            characters.TryAdd(Key(VgaFont.Glyphs.Slice(c * VgaFont.GlyphBytes, VgaFont.GlyphBytes)), c);
        }

        var text = new StringBuilder();
        Span<byte> cell = stackalloc byte[16];
        for (int top = 0; top + 16 <= image.Height; top += 16)
        {
            for (int left = 0; left + 8 <= image.Width; left += 8)
            {
                for (int y = 0; y < 16; y++)
                {
                    cell[y] = 0;
                    for (int x = 0; x < 8; x++)
                    {
                        cell[y] |= (byte)(image.Row(top + y)[left + x] != 0 ? 0x80 >> x : 0);
                    }
                }

                text.Append(characters.GetValueOrDefault(Key(cell), '?'));
            }

            text.Append('\n');
        }

        return text.ToString();
    }

    private static UInt128 Key(ReadOnlySpan<byte> glyph) => BitConverter.ToUInt128(glyph);
}

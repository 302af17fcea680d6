// The characters that firmware loads into a VGA adapter: code page 437, 8 by 16. The glyphs are those of UNSCII 2 (unscii-16, https://github.com/viznut/unscii),
// which is in the public domain; the four it lacks (0x0F, 0x7F, 0xA9, 0xF9) are our own.
using System.Reflection;

namespace Sharpvisor.Devices.Vga;

internal static class VgaFont
{
    public const int GlyphBytes = 16;

    private static readonly Lazy<byte[]> s_glyphs = new(Read);

    /// <summary>256 glyphs, a byte a row, the leftmost pixel in bit 7.</summary>
    public static ReadOnlySpan<byte> Glyphs => s_glyphs.Value;

    private static byte[] Read()
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream("Sharpvisor.Devices.Vga.cp437-8x16.hex")!;
        using var reader = new StreamReader(stream);
        // A glyph a line.
        return Convert.FromHexString(reader.ReadToEnd().ReplaceLineEndings(""));
    }
}

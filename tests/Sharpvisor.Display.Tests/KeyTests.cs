using Sharpvisor.Core;
using Sharpvisor.Display.Keys;
using Xunit;

namespace Sharpvisor.Display.Tests;

public sealed class KeyTests
{
    [Fact]
    public void Text_is_typed_key_by_key_with_shift_where_it_is_needed() =>
        Assert.Equal("2a 1e 9e aa 30 b0 2a 2 82 aa 1c 9c", Codes("Ab!\n"));

    [Fact]
    public void Names_and_chords_press_keys_together() =>
        Assert.Equal("1c 9c 1d 38 e0:53 e0:d3 b8 9d 3c bc 2a 3b bb aa", Codes("enter", "ctrl-alt-delete", "F2", "shift-f1"));

    [Fact]
    public void A_chord_may_end_in_a_character() => Assert.Equal("1d 2e ae 9d", Codes("ctrl-c"));

    [Fact]
    public void What_is_no_key_is_text() => Assert.Equal(Codes("a", "-", "b"), Codes("a-b"));

    [Fact]
    public void Literal_text_is_never_a_key() => Assert.Equal(6 * 2, KeySequence.Parse(["escape"], literal: true).Count);

    [Fact]
    public void A_character_without_a_key_is_named()
    {
        FormatException e = Assert.Throws<FormatException>(() => KeySequence.Parse(["grün"]));
        Assert.Contains("ü", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_printable_ASCII_character_has_a_key_and_a_keysym()
    {
        for (char c = ' '; c <= '~'; c++)
        {
            Assert.True(KeyMap.TryFromCharacter(c, out Key key, out bool shift));
            Assert.True(KeyMap.TryFromKeysym(c, out Key same, out bool? needed));
            Assert.Equal((key, shift), (same, needed));
        }
    }

    [Theory]
    [InlineData(0xFF0D, 0x1C, ScanCodePrefix.None)]
    [InlineData(0xFFFF, 0x53, ScanCodePrefix.E0)]
    [InlineData(0xFFC9, 0x58, ScanCodePrefix.None)]
    [InlineData(0xFFB5, 0x4C, ScanCodePrefix.None)]
    [InlineData(0xFF13, 0x1D, ScanCodePrefix.E1)]
    public void Keysyms_name_keys(uint keysym, byte code, ScanCodePrefix prefix)
    {
        Assert.True(KeyMap.TryFromKeysym(keysym, out Key key, out bool? shift));
        Assert.Equal((new Key(code, prefix), null), (key, shift));
    }

    [Fact]
    public void A_keysym_without_a_key_is_unknown() => Assert.False(KeyMap.TryFromKeysym(0x1234567, out _, out _));

    private static string Codes(params string[] words) => string.Join(' ', KeySequence.Parse(words).Select(s =>
        (s.Prefix == ScanCodePrefix.E0 ? "e0:" : "") + (s.Code | (s.Pressed ? 0 : 0x80)).ToString("x", null)));
}

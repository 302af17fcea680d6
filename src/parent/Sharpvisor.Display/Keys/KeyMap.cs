// Which key makes a character, has a name, or is meant by an X keysym (X11/keysymdef.h; RFB 3.8, 7.5.4), on a keyboard with US layout. Scan codes:
// set 1, as in IBM's PS/2 Hardware Interface Technical Reference, "Keyboards". A table.
using System.Collections.Frozen;
using Sharpvisor.Core;

namespace Sharpvisor.Display.Keys;

/// <summary>The US keyboard.</summary>
public static class KeyMap
{
    private static readonly (byte First, string Plain, string Shifted)[] s_rows =
    [
        (0x02, "1234567890-=", "!@#$%^&*()_+"),
        (0x10, "qwertyuiop[]", "QWERTYUIOP{}"),
        (0x1E, "asdfghjkl;'`", "ASDFGHJKL:\"~"),
        (0x2B, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
        (0x39, " ", " "),
        (0x1C, "\n", "\n"),
        (0x0F, "\t", "\t"),
        (0x0E, "\b", "\b"),
        (0x01, "\e", "\e"),
    ];

    private static readonly (string Names, uint Keysym, Key Key)[] s_named =
    [
        ("escape esc", 0xFF1B, new(0x01)),
        ("backspace", 0xFF08, new(0x0E)),
        ("tab", 0xFF09, new(0x0F)),
        ("enter return", 0xFF0D, new(0x1C)),
        ("space", 0x20, new(0x39)),
        ("minus", 0x2D, new(0x0C)),
        ("ctrl control ctrl_l", 0xFFE3, new(0x1D)),
        ("ctrl_r", 0xFFE4, E0(0x1D)),
        ("shift shift_l", 0xFFE1, Key.LeftShift),
        ("shift_r", 0xFFE2, Key.RightShift),
        ("alt alt_l", 0xFFE9, new(0x38)),
        ("altgr alt_r", 0xFFEA, E0(0x38)),
        ("", 0xFE03, E0(0x38)),
        ("super meta win super_l", 0xFFEB, E0(0x5B)),
        ("", 0xFFE7, E0(0x5B)),
        ("super_r", 0xFFEC, E0(0x5C)),
        ("menu", 0xFF67, E0(0x5D)),
        ("capslock", 0xFFE5, new(0x3A)),
        ("numlock", 0xFF7F, new(0x45)),
        ("scrolllock", 0xFF14, new(0x46)),
        ("pause", 0xFF13, new(0x1D, ScanCodePrefix.E1)),
        ("print sysrq", 0xFF61, E0(0x37)),
        ("home", 0xFF50, E0(0x47)),
        ("left", 0xFF51, E0(0x4B)),
        ("up", 0xFF52, E0(0x48)),
        ("right", 0xFF53, E0(0x4D)),
        ("down", 0xFF54, E0(0x50)),
        ("pageup", 0xFF55, E0(0x49)),
        ("pagedown", 0xFF56, E0(0x51)),
        ("end", 0xFF57, E0(0x4F)),
        ("insert", 0xFF63, E0(0x52)),
        ("delete del", 0xFFFF, E0(0x53)),
        ("kp_enter", 0xFF8D, E0(0x1C)),
        ("kp_multiply", 0xFFAA, new(0x37)),
        ("kp_add", 0xFFAB, new(0x4E)),
        ("kp_subtract", 0xFFAD, new(0x4A)),
        ("kp_decimal", 0xFFAE, new(0x53)),
        ("kp_divide", 0xFFAF, E0(0x35)),
    ];

    // Keypad digits 0 to 9, and what XK_KP_Home (0xFF95) and the ten after it say instead of them.
    private static readonly byte[] s_keypadDigits = [0x52, 0x4F, 0x50, 0x51, 0x4B, 0x4C, 0x4D, 0x47, 0x48, 0x49];
    private static readonly byte[] s_keypadCursor = [0x47, 0x4B, 0x48, 0x4D, 0x50, 0x49, 0x51, 0x4F, 0x4C, 0x52, 0x53];

    private static readonly FrozenDictionary<char, (Key Key, bool Shift)> s_characters = BuildCharacters();
    private static readonly FrozenDictionary<string, Key> s_names = BuildNames();
    private static readonly FrozenDictionary<uint, Key> s_keysyms = BuildKeysyms();

    /// <summary>The key that types a character, and whether Shift is held.</summary>
    public static bool TryFromCharacter(char character, out Key key, out bool shift)
    {
        bool known = s_characters.TryGetValue(character, out (Key Key, bool Shift) found);
        (key, shift) = found;
        return known;
    }

    /// <summary>A key by name, in any case: <c>enter</c>, <c>f1</c>, <c>pageup</c>, or a character.</summary>
    public static bool TryFromName(string name, out Key key)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (s_names.TryGetValue(name, out key))
        {
            return true;
        }

        return name.Length == 1 && TryFromCharacter(char.ToLowerInvariant(name[0]), out key, out bool shift) && !shift;
    }

    /// <summary>The key of an X keysym.</summary>
    /// <param name="shift">For a character: whether US layout needs Shift; null for other keys.</param>
    public static bool TryFromKeysym(uint keysym, out Key key, out bool? shift)
    {
        shift = null;
        if (s_keysyms.TryGetValue(keysym, out key))
        {
            return true;
        }

        if (keysym is < 0x20 or > 0x7E || !TryFromCharacter((char)keysym, out key, out bool needed))
        {
            return false;
        }

        shift = needed;
        return true;
    }

    private static Key E0(byte code) => new(code, ScanCodePrefix.E0);

    private static FrozenDictionary<char, (Key Key, bool Shift)> BuildCharacters()
    {
        var characters = new Dictionary<char, (Key, bool)>();
        foreach ((byte first, string plain, string shifted) in s_rows)
        {
            for (int i = 0; i < plain.Length; i++)
            {
                characters.TryAdd(plain[i], (new Key((byte)(first + i)), false));
                characters.TryAdd(shifted[i], (new Key((byte)(first + i)), true));
            }
        }

        return characters.ToFrozenDictionary();
    }

    private static FrozenDictionary<string, Key> BuildNames()
    {
        var names = new Dictionary<string, Key>(StringComparer.OrdinalIgnoreCase);
        foreach ((string text, _, Key key) in s_named)
        {
            foreach (string name in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                names.Add(name, key);
            }
        }

        for (int i = 0; i < 12; i++)
        {
            names.Add($"f{i + 1}", FunctionKey(i));
        }

        for (int i = 0; i < s_keypadDigits.Length; i++)
        {
            names.Add($"kp_{i}", new Key(s_keypadDigits[i]));
        }

        return names.ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);
    }

    private static FrozenDictionary<uint, Key> BuildKeysyms()
    {
        Dictionary<uint, Key> keysyms = s_named.Where(n => n.Keysym >= 0xFE00).ToDictionary(n => n.Keysym, n => n.Key);
        for (int i = 0; i < 12; i++)
        {
            keysyms.Add(0xFFBE + (uint)i, FunctionKey(i));
        }

        for (int i = 0; i < s_keypadDigits.Length; i++)
        {
            keysyms.Add(0xFFB0 + (uint)i, new Key(s_keypadDigits[i]));
        }

        for (int i = 0; i < s_keypadCursor.Length; i++)
        {
            keysyms.Add(0xFF95 + (uint)i, new Key(s_keypadCursor[i]));
        }

        return keysyms.ToFrozenDictionary();
    }

    private static Key FunctionKey(int index) => new((byte)(index < 10 ? 0x3B + index : 0x57 + index - 10));
}

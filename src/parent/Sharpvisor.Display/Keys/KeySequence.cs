// What a person types, as keys going down and up: text, and chords such as ctrl-alt-delete.
using Sharpvisor.Core;

namespace Sharpvisor.Display.Keys;

/// <summary>Turns words into keystrokes and types them at the guest's pace.</summary>
public static class KeySequence
{
    // A guest that is busy booting may leave its keyboard alone for a while.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(5);

    /// <summary>
    /// A word that is a key's name, or such names joined by '-' (the last one may be a character), presses these keys together; any other
    /// is typed. With <paramref name="literal"/> every word is typed.
    /// </summary>
    /// <exception cref="FormatException">A character has no key; the message names it.</exception>
    public static IReadOnlyList<KeyStroke> Parse(IEnumerable<string> words, bool literal = false)
    {
        ArgumentNullException.ThrowIfNull(words);
        var strokes = new List<KeyStroke>();
        foreach (string word in words)
        {
            if (!literal && TryParseChord(word) is { } chord)
            {
                strokes.AddRange(chord.Select(k => k.Down));
                strokes.AddRange(chord.Reverse().Select(k => k.Up));
            }
            else
            {
                Type(word, strokes);
            }
        }

        return strokes;
    }

    /// <summary>Types; ends when the keyboard has taken the last keystroke.</summary>
    /// <exception cref="TimeoutException">The guest does not read its keyboard.</exception>
    public static async Task SendAsync(IKeyboard keyboard, IReadOnlyList<KeyStroke> strokes, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(keyboard);
        ArgumentNullException.ThrowIfNull(strokes);
        foreach (KeyStroke stroke in strokes)
        {
            long started = Environment.TickCount64;
            while (!keyboard.TrySend(stroke))
            {
                if (Environment.TickCount64 - started > s_patience.TotalMilliseconds)
                {
                    throw new TimeoutException("the guest does not read its keyboard");
                }

                await Task.Delay(s_pause, cancellation);
            }
        }
    }

    private static Key[]? TryParseChord(string word)
    {
        string[] names = word.Split('-');
        var keys = new Key[names.Length];
        for (int i = 0; i < names.Length; i++)
        {
            // Only the last may be a character: "a-b" is text. A lone character is text too.
            bool mayBeCharacter = i > 0 && i == names.Length - 1;
            if ((names[i].Length < 2 && !mayBeCharacter) || !KeyMap.TryFromName(names[i], out keys[i]))
            {
                return null;
            }
        }

        return keys;
    }

    private static void Type(string text, List<KeyStroke> strokes)
    {
        foreach (char character in text)
        {
            if (!KeyMap.TryFromCharacter(character, out Key key, out bool shift))
            {
                throw new FormatException($"no key of a US keyboard types '{character}' (U+{(int)character:X4})");
            }

            if (shift)
            {
                strokes.Add(Key.LeftShift.Down);
            }

            strokes.Add(key.Down);
            strokes.Add(key.Up);
            if (shift)
            {
                strokes.Add(Key.LeftShift.Up);
            }
        }
    }
}

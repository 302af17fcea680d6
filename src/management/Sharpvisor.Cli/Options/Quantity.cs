// Sizes and durations as users type them.
using System.Globalization;

namespace Sharpvisor.Cli.Options;

internal static class Quantity
{
    /// <summary>Parses 512M, 2G, 4096K or plain bytes.</summary>
    public static bool TryParseBytes(string text, out ulong bytes) =>
        TryParse(text, "KMGT", out ulong number, out int unit) & TryScale(number, unit, out bytes);

    /// <summary>Parses 120s, 500ms, 2m, or plain seconds.</summary>
    public static bool TryParseDuration(string text, out TimeSpan duration)
    {
        (string suffix, double seconds)[] units = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("", 1)];
        foreach ((string suffix, double seconds) in units)
        {
            if (text.EndsWith(suffix, StringComparison.Ordinal)
                && double.TryParse(text[..^suffix.Length], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value)
                && value * seconds is > 0 and < 1e7)
            {
                duration = TimeSpan.FromSeconds(value * seconds);
                return true;
            }
        }

        duration = default;
        return false;
    }

    private static bool TryParse(string text, string units, out ulong number, out int unit)
    {
        unit = text.Length > 0 ? units.IndexOf(char.ToUpperInvariant(text[^1]), StringComparison.Ordinal) + 1 : 0;
        return ulong.TryParse(unit > 0 ? text[..^1] : text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    private static bool TryScale(ulong number, int unit, out ulong bytes)
    {
        bytes = number << (unit * 10);
        return bytes >> (unit * 10) == number;
    }
}

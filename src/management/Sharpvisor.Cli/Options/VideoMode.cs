using System.CommandLine.Parsing;
using System.Globalization;
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Options;

/// <summary>--video: the display adapters a VM has, and their first mode.</summary>
internal sealed record VideoMode(ConsoleDevices Devices, (int Width, int Height)? FrameBuffer)
{
    public static VideoMode Text { get; } = new(ConsoleDevices.All, null);

    public static VideoMode Parse(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        string[] sides = text.Split('x');
        if (text == "text")
        {
            return Text;
        }

        if (text == "off")
        {
            return new VideoMode(ConsoleDevices.Keyboard | ConsoleDevices.Mouse, null);
        }

        if (sides.Length == 2
            && int.TryParse(sides[0], NumberStyles.None, CultureInfo.InvariantCulture, out int width) && width is >= 320 and <= 4096
            && int.TryParse(sides[1], NumberStyles.None, CultureInfo.InvariantCulture, out int height) && height is >= 200 and <= 4096)
        {
            return new VideoMode(ConsoleDevices.All, (width, height));
        }

        result.AddError($"--video {text}: must be text, off, or a size such as 1024x768");
        return Text;
    }
}

using Sharpvisor.Core;

namespace Sharpvisor.Display.Keys;

/// <summary>A key of a PC keyboard, by its make code in scan code set 1.</summary>
public readonly record struct Key(byte Code, ScanCodePrefix Prefix = ScanCodePrefix.None)
{
    public static Key LeftShift { get; } = new(0x2A);

    public static Key RightShift { get; } = new(0x36);

    public KeyStroke Down => new(Code, Prefix, Pressed: true);

    public KeyStroke Up => new(Code, Prefix, Pressed: false);
}

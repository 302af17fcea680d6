namespace Sharpvisor.Worker;

/// <summary>The devices of a VM's screen and keyboard. The emulated keyboard and mouse are part of the board.</summary>
[Flags]
public enum ConsoleDevices
{
    None = 0,
    /// <summary>Synthetic; only with integration on, as the next two.</summary>
    Keyboard = 1,
    Mouse = 2,
    Video = 4,
    /// <summary>The VGA adapter.</summary>
    Vga = 8,
    All = 0xF,
}

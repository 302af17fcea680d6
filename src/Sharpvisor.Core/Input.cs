// What input devices (synthetic or emulated) and those who press their keys (a VNC client, ctl) know of each other.
namespace Sharpvisor.Core;

/// <summary>What precedes a scan code on the wire.</summary>
public enum ScanCodePrefix : byte
{
    None,
    E0,
    /// <summary>Only the Pause key.</summary>
    E1,
}

/// <summary>A key going down or up, in scan code set 1, the set that operating systems read from an 8042.</summary>
/// <param name="Code">Make code, 0x01 to 0x7F.</param>
public readonly record struct KeyStroke(byte Code, ScanCodePrefix Prefix, bool Pressed);

/// <summary>A keyboard of the VM. Thread-safe.</summary>
public interface IKeyboard
{
    /// <summary>The guest's driver has taken the keyboard into use.</summary>
    bool IsActive { get; }

    /// <summary>Presses or releases a key. False: the guest has not read what it was sent before; nothing happened, try again later.</summary>
    bool TrySend(KeyStroke stroke);
}

/// <summary>The buttons of a pointer that are down.</summary>
[Flags]
public enum PointerButtons : byte
{
    None = 0,
    Left = 1,
    Right = 2,
    Middle = 4,
    Back = 8,
    Forward = 0x10,
}

/// <summary>Where a pointer is.</summary>
/// <param name="X">From the left, 0 to <see cref="Extent"/>, whatever the screen's size.</param>
/// <param name="Y">From the top, likewise.</param>
/// <param name="Wheel">Notches turned since the last report; positive is away from the user.</param>
public readonly record struct PointerState(ushort X, ushort Y, PointerButtons Buttons, sbyte Wheel)
{
    /// <summary>The right and the bottom edge.</summary>
    public const ushort Extent = 0x7FFF;
}

/// <summary>A mouse or tablet of the VM. Thread-safe.</summary>
public interface IPointer
{
    /// <summary>The guest's driver has taken the pointer into use.</summary>
    bool IsActive { get; }

    /// <summary>Moves the pointer. When the guest does not keep up, positions between the last one it saw and this are left out.</summary>
    void Report(PointerState state);
}

// A client's keys and pointer (RFB 3.8, 7.5.4 and 7.5.5; the QEMU extended key event carries scan codes).
using Sharpvisor.Core;
using Sharpvisor.Display.Keys;

namespace Sharpvisor.Display.Vnc;

/// <summary>Not thread-safe. What a client leaves pressed is released when it goes.</summary>
internal sealed class ClientInput(IKeyboard keyboard, IPointer pointer)
{
    private const int PatienceMilliseconds = 1000;
    private const int PauseMilliseconds = 5;

    private readonly HashSet<Key> _pressed = [];
    private int _buttons;
    private PointerState _state;

    public async Task KeyAsync(uint keysym, bool down, CancellationToken cancellation)
    {
        if (!KeyMap.TryFromKeysym(keysym, out Key key, out bool? shift))
        {
            return;
        }

        // A client may send a capital, or a character of another layout, without the Shift that a US keyboard needs for it.
        bool isShifted = _pressed.Contains(Key.LeftShift) || _pressed.Contains(Key.RightShift);
        if (down && shift is { } needed && needed != isShifted && !char.IsAsciiLetter((char)keysym))
        {
            await TypeWithShiftAsync(key, needed, cancellation);
        }
        else if (down && shift == true && !isShifted)
        {
            await TypeWithShiftAsync(key, true, cancellation);
        }
        else
        {
            await PressAsync(key, down, cancellation);
        }
    }

    /// <param name="code">Set 1; what E0 precedes has bit 7 set (QEMU's "XT key code").</param>
    public Task ScanCodeAsync(uint code, bool down, CancellationToken cancellation)
    {
        // Pause is 0xC6 there.
        Key key = code == 0xC6 ? new Key(0x1D, ScanCodePrefix.E1)
            : new Key((byte)(code & 0x7F), (code & 0x80) != 0 ? ScanCodePrefix.E0 : ScanCodePrefix.None);
        return code is 0 or > 0xFF || key.Code == 0 ? Task.CompletedTask : PressAsync(key, down, cancellation);
    }

    public void Pointer(int mask, int x, int y, int width, int height)
    {
        int pressed = mask & ~_buttons;
        _buttons = mask;
        PointerButtons buttons = ((mask & 1) != 0 ? PointerButtons.Left : 0) | ((mask & 2) != 0 ? PointerButtons.Middle : 0)
            | ((mask & 4) != 0 ? PointerButtons.Right : 0) | ((mask & 0x80) != 0 ? PointerButtons.Back : 0);
        // A notch of the wheel is a press of button 4 or 5.
        int wheel = ((pressed & 8) != 0 ? 1 : 0) - ((pressed & 0x10) != 0 ? 1 : 0);
        _state = new PointerState(Scale(x, width), Scale(y, height), buttons, (sbyte)wheel);
        pointer.Report(_state);
    }

    public void ReleaseAll()
    {
        foreach (Key key in _pressed)
        {
            _ = keyboard.TrySend(key.Up);
        }

        _pressed.Clear();
        if (_state.Buttons != PointerButtons.None)
        {
            pointer.Report(_state with { Buttons = PointerButtons.None, Wheel = 0 });
        }
    }

    private async Task TypeWithShiftAsync(Key key, bool shift, CancellationToken cancellation)
    {
        Key[] held = [.. _pressed.Where(k => k == Key.LeftShift || k == Key.RightShift)];
        if (shift)
        {
            await SendAsync(Key.LeftShift.Down, cancellation);
        }

        foreach (Key h in held)
        {
            await SendAsync(h.Up, cancellation);
        }

        await SendAsync(key.Down, cancellation);
        await SendAsync(key.Up, cancellation);
        foreach (Key h in held)
        {
            await SendAsync(h.Down, cancellation);
        }

        if (shift)
        {
            await SendAsync(Key.LeftShift.Up, cancellation);
        }
    }

    private async Task PressAsync(Key key, bool down, CancellationToken cancellation)
    {
        if (down)
        {
            // Repeats are presses too.
            _pressed.Add(key);
            await SendAsync(key.Down, cancellation);
        }
        else if (_pressed.Remove(key))
        {
            await SendAsync(key.Up, cancellation);
        }
    }

    // While the guest does not read its keyboard, the client's messages wait with it, and after a while are dropped.
    private async Task SendAsync(KeyStroke stroke, CancellationToken cancellation)
    {
        long started = Environment.TickCount64;
        while (!keyboard.TrySend(stroke) && Environment.TickCount64 - started < PatienceMilliseconds)
        {
            await Task.Delay(PauseMilliseconds, cancellation);
        }
    }

    private static ushort Scale(int position, int size) =>
        (ushort)(size <= 1 ? 0 : Math.Min(position, size - 1) * PointerState.Extent / (size - 1));
}

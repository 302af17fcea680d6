// A PS/2 mouse that becomes a wheel mouse when it is asked the Microsoft way (IBM PS/2 Hardware Interface Technical Reference, "Mouse";
// drivers/input/mouse/psmouse-base.c, intellimouse_detect and im_explorer_detect).
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Answers the host's commands and reports relative movement.</summary>
internal sealed class Ps2Mouse : Ps2Device
{
    private const byte PlainId = 0;
    private const byte WheelId = 3;
    private const byte FiveButtonId = 4;
    private const int LargestStep = 255;

    // A mouse counts movement, not places: the whole way across the pad is as many counts as a screen of 1024 by 768 has pixels.
    private const int CountsAcross = 1024;
    private const int CountsDown = 768;

    private byte _resolution = 2;
    private byte _sampleRate = 100;
    private bool _reporting;
    private bool _scaling2;
    private byte _id;
    private uint _lastRates;
    private int _dx;
    private int _dy;
    private int _wheel;
    private int _lastX;
    private int _lastY;
    private PointerButtons _buttons;
    private PointerButtons _reportedButtons;

    public bool IsReporting => _reporting;

    public override void Reset()
    {
        base.Reset();
        _resolution = 2;
        _sampleRate = 100;
        _reporting = false;
        _scaling2 = false;
        _id = PlainId;
        _lastRates = 0;
        ClearMovement();
    }

    /// <summary>Moves the mouse by what lies between the last position and this; what the guest does not read adds up.</summary>
    public void Report(PointerState state)
    {
        int x = state.X * CountsAcross / (PointerState.Extent + 1);
        int y = state.Y * CountsDown / (PointerState.Extent + 1);
        int dx = x - _lastX;
        int dy = y - _lastY;
        _lastX = x;
        _lastY = y;
        if (!_reporting)
        {
            return;
        }

        _dx = Math.Clamp(_dx + dx, -CountsAcross, CountsAcross);
        _dy = Math.Clamp(_dy + dy, -CountsDown, CountsDown);
        _wheel = Math.Clamp(_wheel + state.Wheel, -127, 127);
        _buttons = state.Buttons;
    }

    // Packets are made when the controller asks for a byte, so that a guest that reads late gets one packet with all of the movement.
    public override bool TryRead(out byte value)
    {
        if (base.TryRead(out value))
        {
            return true;
        }

        if (!_reporting || (_dx == 0 && _dy == 0 && _wheel == 0 && _buttons == _reportedButtons))
        {
            return false;
        }

        SendPacket();
        return base.TryRead(out value);
    }

    protected override void Command(byte command)
    {
        switch (command)
        {
            case 0xE6 or 0xE7:
                _scaling2 = command == 0xE7;
                Send(Acknowledge);
                break;
            case 0xE8 or 0xF3:
                ExpectArgument(command);
                break;
            case 0xE9:
                Send(Acknowledge);
                Send((byte)((_reporting ? 0x20 : 0) | (_scaling2 ? 0x10 : 0) | Buttons3()));
                Send(_resolution);
                Send(_sampleRate);
                break;
            case 0xEB:
                Send(Acknowledge);
                SendPacket();
                break;
            case 0xF2:
                Send(Acknowledge);
                Send(_id);
                break;
            case 0xF4 or 0xF5:
                _reporting = command == 0xF4;
                ClearMovement();
                Send(Acknowledge);
                break;
            case 0xF6:
                byte id = _id;
                Reset();
                _id = id;
                Send(Acknowledge);
                break;
            case 0xEA or 0xEC or 0xF0:
                Send(Acknowledge);
                break;
            case 0xFF:
                Reset();
                Send(Acknowledge);
                Send(SelfTestPassed);
                Send(_id);
                break;
            default:
                Send(Resend);
                break;
        }
    }

    protected override void Argument(byte command, byte value)
    {
        Send(Acknowledge);
        if (command == 0xE8)
        {
            _resolution = (byte)(value & 3);
            return;
        }

        _sampleRate = value;
        _lastRates = ((_lastRates << 8) | value) & 0xFF_FFFF;
        if (_lastRates == 0xC8_6450)
        {
            // 200, 100, 80.
            _id = WheelId;
        }
        else if (_lastRates == 0xC8_C850 && _id == WheelId)
        {
            // 200, 200, 80.
            _id = FiveButtonId;
        }
    }

    private void SendPacket()
    {
        int dx = Math.Clamp(_dx, -LargestStep, LargestStep);
        // Up is positive here.
        int dy = Math.Clamp(-_dy, -LargestStep, LargestStep);
        _dx -= dx;
        _dy += dy;
        Send((byte)(8 | Buttons3() | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0)));
        Send((byte)dx);
        Send((byte)dy);
        if (_id != PlainId)
        {
            // Away from the user is negative here.
            int wheel = Math.Clamp(-_wheel, -8, 7);
            _wheel += wheel;
            int side = _id == FiveButtonId ? ((int)(_buttons & (PointerButtons.Back | PointerButtons.Forward)) << 1) : 0;
            Send(_id == FiveButtonId ? (byte)((wheel & 0xF) | side) : (byte)wheel);
        }
        else
        {
            _wheel = 0;
        }

        _reportedButtons = _buttons;
    }

    private int Buttons3() => (int)(_buttons & (PointerButtons.Left | PointerButtons.Right | PointerButtons.Middle));

    private void ClearMovement()
    {
        _dx = 0;
        _dy = 0;
        _wheel = 0;
        _buttons = PointerButtons.None;
        _reportedButtons = PointerButtons.None;
    }
}

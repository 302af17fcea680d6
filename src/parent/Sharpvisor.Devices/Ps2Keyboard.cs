// A PS/2 keyboard with an MF2 identity (IBM PS/2 Hardware Interface Technical Reference, "Keyboards";
// drivers/input/keyboard/atkbd.c probes it).
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Answers the host's commands and types what it is told, in set 1: what the controller's translation makes of set 2.</summary>
internal sealed class Ps2Keyboard : Ps2Device
{
    // A keystroke, and the answer to a command that comes meanwhile.
    private const int ReservedBytes = 8;

    private byte _scanCodeSet = 2;
    private bool _scanning = true;

    public override void Reset()
    {
        base.Reset();
        _scanCodeSet = 2;
        _scanning = true;
    }

    public bool IsScanning => _scanning;

    /// <summary>False: the guest has not read what was typed before. A keyboard that is switched off swallows its keys.</summary>
    public bool TryType(KeyStroke stroke)
    {
        if (!_scanning)
        {
            return true;
        }

        if (FreeBytes < ReservedBytes)
        {
            return false;
        }

        if (stroke.Prefix != ScanCodePrefix.None)
        {
            Send(stroke.Prefix == ScanCodePrefix.E0 ? (byte)0xE0 : (byte)0xE1);
        }

        byte release = stroke.Pressed ? (byte)0 : (byte)0x80;
        Send((byte)(stroke.Code | release));
        if (stroke.Prefix == ScanCodePrefix.E1)
        {
            // Pause: E1 1D 45, then E1 9D C5.
            Send((byte)(0x45 | release));
        }

        return true;
    }

    protected override void Command(byte command)
    {
        switch (command)
        {
            case 0xED or 0xF0 or 0xF3 or 0xFB or 0xFC or 0xFD:
                ExpectArgument(command);
                break;
            case 0xEE:
                Send(0xEE);
                break;
            case 0xF2:
                Send(Acknowledge);
                Send(0xAB);
                Send(0x83);
                break;
            case 0xF4:
                _scanning = true;
                Send(Acknowledge);
                break;
            case 0xF5:
                Reset();
                _scanning = false;
                Send(Acknowledge);
                break;
            case 0xF6:
                Reset();
                Send(Acknowledge);
                break;
            case 0xF7 or 0xF8 or 0xF9 or 0xFA:
                Send(Acknowledge);
                break;
            case 0xFF:
                Reset();
                Send(Acknowledge);
                Send(SelfTestPassed);
                break;
            default:
                Send(Resend);
                break;
        }
    }

    protected override void Argument(byte command, byte value)
    {
        Send(Acknowledge);
        if (command == 0xF0)
        {
            if (value == 0)
            {
                Send(_scanCodeSet);
            }
            else if (value <= 3)
            {
                _scanCodeSet = value;
            }
        }
    }
}

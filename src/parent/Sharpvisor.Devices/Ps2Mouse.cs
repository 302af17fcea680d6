// A plain PS/2 mouse that never moves (IBM PS/2 Hardware Interface Technical Reference, "Mouse";
// drivers/input/mouse/psmouse-base.c probes it).
namespace Sharpvisor.Devices;

/// <summary>Answers the host's commands.</summary>
internal sealed class Ps2Mouse : Ps2Device
{
    private byte _resolution = 2;
    private byte _sampleRate = 100;
    private bool _reporting;
    private bool _scaling2;

    public override void Reset()
    {
        base.Reset();
        _resolution = 2;
        _sampleRate = 100;
        _reporting = false;
        _scaling2 = false;
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
                Send((byte)((_reporting ? 0x20 : 0) | (_scaling2 ? 0x10 : 0)));
                Send(_resolution);
                Send(_sampleRate);
                break;
            case 0xEB:
                Send(Acknowledge);
                Send(0x08);
                Send(0);
                Send(0);
                break;
            case 0xF2:
                Send(Acknowledge);
                Send(0);
                break;
            case 0xF4 or 0xF5:
                _reporting = command == 0xF4;
                Send(Acknowledge);
                break;
            case 0xF6:
                Reset();
                Send(Acknowledge);
                break;
            case 0xEA or 0xEC or 0xF0:
                Send(Acknowledge);
                break;
            case 0xFF:
                Reset();
                Send(Acknowledge);
                Send(SelfTestPassed);
                Send(0);
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
        }
        else
        {
            _sampleRate = value;
        }
    }
}

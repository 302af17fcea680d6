// What PS/2 keyboard and mouse have in common: a byte protocol in which each command is acknowledged with 0xFA
// (IBM PS/2 Hardware Interface Technical Reference, "Keyboards" and "Mouse").
namespace Sharpvisor.Devices;

/// <summary>A PS/2 device behind the 8042. Not thread-safe: the controller locks.</summary>
internal abstract class Ps2Device
{
    protected const byte Acknowledge = 0xFA;
    protected const byte Resend = 0xFE;
    protected const byte SelfTestPassed = 0xAA;
    private const int QueueLimit = 64;

    private readonly Queue<byte> _queue = new();
    private byte _pendingCommand;

    public virtual void Reset()
    {
        _queue.Clear();
        _pendingCommand = 0;
    }

    /// <summary>A byte from the host: a command, or the argument of the command before.</summary>
    public void Write(byte value)
    {
        byte command = _pendingCommand;
        _pendingCommand = 0;
        if (command != 0)
        {
            Argument(command, value);
        }
        else
        {
            Command(value);
        }
    }

    public virtual bool TryRead(out byte value) => _queue.TryDequeue(out value);

    /// <summary>Bytes that can be queued before the guest reads.</summary>
    protected int FreeBytes => QueueLimit - _queue.Count;

    protected abstract void Command(byte command);

    protected abstract void Argument(byte command, byte value);

    protected void Send(byte value)
    {
        if (_queue.Count < QueueLimit)
        {
            _queue.Enqueue(value);
        }
    }

    /// <summary>Acknowledges a command whose argument comes next.</summary>
    protected void ExpectArgument(byte command)
    {
        _pendingCommand = command;
        Send(Acknowledge);
    }
}

// In-band messages to the guest that wait for room in the ring: what the small VSPs (keyboard, mouse, video) share.
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp;

/// <summary>A bounded queue in front of a channel. Not thread-safe: its owner locks.</summary>
internal sealed class OutgoingMessages(int limit)
{
    private readonly Queue<byte[]> _unsent = new();
    private VmbusChannel? _channel;

    /// <summary>Everything given to <see cref="TrySend"/> is in the ring.</summary>
    public bool IsEmpty => _unsent.Count == 0;

    public void Open(VmbusChannel channel) => _channel = channel;

    public void Close()
    {
        _channel = null;
        _unsent.Clear();
    }

    /// <summary>False: too many wait already.</summary>
    public bool TrySend(byte[] message)
    {
        if (_unsent.Count == 0 && TryWrite(message))
        {
            return true;
        }

        if (_unsent.Count >= limit)
        {
            return false;
        }

        _unsent.Enqueue(message);
        return true;
    }

    /// <summary>The ring has room.</summary>
    public void Drain()
    {
        while (_unsent.TryPeek(out byte[]? message) && TryWrite(message))
        {
            _unsent.Dequeue();
        }
    }

    private bool TryWrite(byte[] message) =>
        _channel is null || _channel.TryWritePacket(PacketType.DataInBand, PacketFlags.None, 0, message) != RingWriteStatus.Full;
}

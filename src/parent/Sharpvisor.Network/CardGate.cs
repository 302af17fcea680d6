// Hands frames to a card and waits while the card has no room, so that the network's queue fills instead of frames being lost.
using Sharpvisor.Core;

namespace Sharpvisor.Network;

/// <summary>The receiving side of a port: one thread delivers.</summary>
internal sealed class CardGate : IDisposable
{
    private readonly AutoResetEvent _ready = new(initialState: false);
    private INetworkCard? _card;
    private volatile bool _closed;

    public bool IsClosed => _closed;

    /// <exception cref="InvalidOperationException">A card is plugged in already.</exception>
    public void Connect(INetworkCard card)
    {
        ArgumentNullException.ThrowIfNull(card);
        if (Interlocked.CompareExchange(ref _card, card, null) is not null)
        {
            throw new InvalidOperationException("the port has a card already");
        }
    }

    /// <summary>Returns when the card has the frame; false when the port was closed instead.</summary>
    /// <param name="more">Another frame follows at once.</param>
    public bool Deliver(ReadOnlySpan<byte> frame, FrameOffload offload, bool more = false)
    {
        // ReceiveReady between the refusal and the wait leaves the event set; one set too early costs one more attempt.
        while (!_closed)
        {
            if (_card!.Receive(frame, offload, more))
            {
                return true;
            }

            _ready.WaitOne();
        }

        return false;
    }

    public void ReceiveReady() => _ready.Set();

    public void Close()
    {
        _closed = true;
        _ready.Set();
    }

    public void Dispose() => _ready.Dispose();
}

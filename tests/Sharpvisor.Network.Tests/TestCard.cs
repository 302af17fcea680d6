// A card whose frames a test reads, and which can refuse them.
using System.Collections.Concurrent;
using Sharpvisor.Core;

namespace Sharpvisor.Network.Tests;

internal sealed class TestCard : INetworkCard, IDisposable
{
    private readonly BlockingCollection<(byte[] Frame, FrameOffload Offload)> _frames = [];
    private int _refusals;

    /// <summary>Frames refused so far.</summary>
    public int Refused => Volatile.Read(ref _refusals);

    public bool Refusing { get; set; }

    public bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        if (Refusing)
        {
            _ = Interlocked.Increment(ref _refusals);
            return false;
        }

        _frames.Add((frame.ToArray(), offload), CancellationToken.None);
        return true;
    }

    /// <summary>The next frame that fits; others are thrown away.</summary>
    public byte[] Take(Func<byte[], bool>? fits = null)
    {
        while (_frames.TryTake(out (byte[] Frame, FrameOffload Offload) taken, TimeSpan.FromSeconds(20)))
        {
            if (fits is null || fits(taken.Frame))
            {
                return taken.Frame;
            }
        }

        throw new TimeoutException("the card got no such frame");
    }

    public bool IsEmpty => _frames.Count == 0;

    public void Dispose() => _frames.Dispose();
}

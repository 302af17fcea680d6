// One port of a switch: a bounded queue towards its card, and the thread that delivers from it, so that neither a slow card nor a
// stopped VM holds up the others.
using System.Runtime.InteropServices;
using Sharpvisor.Core;

namespace Sharpvisor.Network;

/// <summary>Frames are dropped when the queue is full, as a switch does.</summary>
internal sealed class SwitchPort(LearningSwitch owner) : INetworkPort
{
    private const int QueueBytes = 2 << 20;
    private readonly CardGate _card = new();
    private readonly object _lock = new();
    private readonly byte[] _queue = new byte[QueueBytes];
    private readonly byte[] _delivered = new byte[FrameCompletion.MaximumFrameBytes];
    private int _head;
    private int _used;
    private bool _waiting;
    private bool _closed;
    private Thread? _thread;

    public int MaximumFrameBytes => FrameStream.MaximumFrameBytes;

    public bool AcceptsLargeSegments => true;

    public void Connect(INetworkCard card)
    {
        _card.Connect(card);
        _thread = new Thread(Deliver) { IsBackground = true, Name = "net switch" };
        _thread.Start();
    }

    public void Send(ReadOnlySpan<byte> frame, FrameOffload offload) => owner.Forward(this, frame, offload);

    public void ReceiveReady() => _card.ReceiveReady();

    /// <summary>Queues a frame for the card.</summary>
    public void Enqueue(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        var header = new Header(frame.Length, offload);
        lock (_lock)
        {
            if (_closed || _thread is null || frame.Length > MaximumFrameBytes
                || _used + Header.Bytes + frame.Length > QueueBytes)
            {
                return;
            }

            Put(MemoryMarshal.AsBytes(new ReadOnlySpan<Header>(in header)));
            Put(frame);
            if (_waiting)
            {
                Monitor.Pulse(_lock);
            }
        }
    }

    public void Dispose()
    {
        owner.Remove(this);
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            _closed = true;
            _card.Close();
            Monitor.Pulse(_lock);
        }

        _thread?.Join();
        _card.Dispose();
    }

    private void Deliver()
    {
        while (TryDequeue(out int bytes, out FrameOffload offload, out bool more))
        {
            if (!_card.Deliver(_delivered.AsSpan(0, bytes), offload, more))
            {
                return;
            }
        }
    }

    private bool TryDequeue(out int bytes, out FrameOffload offload, out bool more)
    {
        lock (_lock)
        {
            while (_used == 0 && !_closed)
            {
                _waiting = true;
                _ = Monitor.Wait(_lock);
                _waiting = false;
            }

            (bytes, offload, more) = (0, default, false);
            if (_closed)
            {
                return false;
            }

            Header header = default;
            Take(MemoryMarshal.AsBytes(new Span<Header>(ref header)));
            Take(_delivered.AsSpan(0, header.Length));
            (bytes, offload, more) = (header.Length, header.Offload, _used > 0);
            return true;
        }
    }

    private void Put(ReadOnlySpan<byte> bytes)
    {
        int tail = (_head + _used) % QueueBytes;
        int first = Math.Min(bytes.Length, QueueBytes - tail);
        bytes[..first].CopyTo(_queue.AsSpan(tail));
        bytes[first..].CopyTo(_queue);
        _used += bytes.Length;
    }

    private void Take(Span<byte> bytes)
    {
        int first = Math.Min(bytes.Length, QueueBytes - _head);
        _queue.AsSpan(_head, first).CopyTo(bytes);
        _queue.AsSpan(0, bytes.Length - first).CopyTo(bytes[first..]);
        _head = (_head + bytes.Length) % QueueBytes;
        _used -= bytes.Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Header(int length, FrameOffload offload)
    {
        public const int Bytes = 12;

        public readonly int Length = length;
        public readonly FrameOffload Offload = offload;
    }
}

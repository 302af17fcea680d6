// The worker that drains a channel's guest-to-host ring, at most one at a time for a channel: the VP's thread that signals, for a
// few packets of a VSP that never waits, or else a thread-pool work item. An idle channel has none, and costs nothing.
using System.Diagnostics.CodeAnalysis;

namespace Sharpvisor.VMBus;

public sealed partial class VmbusChannel : IThreadPoolWorkItem
{
    /// <summary>After so many packets the thread goes back to the pool, so that busy channels share it fairly.</summary>
    private const int MaxBatch = 256;
    private const int SpacePollMilliseconds = 5;

    /// <summary>What a VP delivers for one signal before it leaves the rest to the pool: a guest must not keep it here.</summary>
    private const int MaxBatchOnVp = 4;

    private const int Idle = 0;
    private const int Queued = 1;
    private const int Running = 2;
    private const int RunningAgain = 3;

    private readonly Stack<GpaRangeList> _rangePool = new();
    private readonly Lock _runLock = new();
    private IChannelHandler? _handler;
    private GpaRangeList _ranges;
    private int _state;
    private int _workerThread;
    private int _maxBatch;
    private bool _blocked;
    private bool _resume;
    private bool _closing;
    private bool _closed;
    private bool _paused;
    private bool _faulted;
    private bool _started;

    /// <summary>No worker runs or is about to; for tests.</summary>
    internal bool IsIdle => Volatile.Read(ref _state) == Idle;

    /// <summary>Has the worker run again after <see cref="IChannelHandler.OnPacket"/> returned false. Any thread.</summary>
    public void Resume()
    {
        Volatile.Write(ref _resume, true);
        Schedule();
    }

    void IThreadPoolWorkItem.Execute()
    {
        // Exchange, not a plain store: what was signalled before is seen by the reads below.
        _ = Interlocked.Exchange(ref _state, Running);
        RunOnce(MaxBatch);
    }

    /// <summary>The open succeeded: packets may flow.</summary>
    internal void Start(IChannelHandler handler, bool paused)
    {
        _paused = paused;
        Volatile.Write(ref _handler, handler);
        Schedule();
    }

    /// <summary>HvCallSignalEvent on the channel's connection: new data, or new room. On a VP's thread.</summary>
    internal void OnGuestSignal()
    {
        _counters.Signals.Increment();
        if (Volatile.Read(ref _handler) is not { RunsOnSignallingThread: true } || !TryRunOnVp())
        {
            Schedule();
        }
    }

    /// <summary>Stops the channel; the worker calls <see cref="IChannelHandler.OnClosed"/> and then tells the bus.</summary>
    internal void BeginClose()
    {
        lock (_writeLock)
        {
            _open = false;
            _spacePoll?.Dispose();
            _spacePoll = null;
        }

        Volatile.Write(ref _closing, true);
        Schedule();
    }

    /// <summary>No callback runs when this returns, until <see cref="EndPause"/>. Not from a callback.</summary>
    internal void BeginPause()
    {
        Volatile.Write(ref _paused, true);
        lock (_runLock)
        {
        }
    }

    internal void EndPause()
    {
        Volatile.Write(ref _paused, false);
        Schedule();
    }

    internal void DetachRanges()
    {
        if (Environment.CurrentManagedThreadId == _workerThread)
        {
            _ranges = GpaRangeList.Rent(_rangePool);
        }
    }

    private bool TryRunOnVp()
    {
        if (Interlocked.CompareExchange(ref _state, Running, Idle) != Idle)
        {
            return false;
        }

        RunOnce(MaxBatchOnVp);
        return true;
    }

    /// <summary>One turn of the worker, whose state is Running.</summary>
    private void RunOnce(int maxBatch)
    {
        bool more;
        lock (_runLock)
        {
            _maxBatch = maxBatch;
            Volatile.Write(ref _workerThread, Environment.CurrentManagedThreadId);
            more = RunGuarded();
            Volatile.Write(ref _workerThread, 0);
        }

        if (more || Interlocked.CompareExchange(ref _state, Idle, Running) != Running)
        {
            Volatile.Write(ref _state, Queued);
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    private void Schedule()
    {
        // What the worker is to find was written before; it reads after its own exchange of the state. Both sides need a full fence.
        Interlocked.MemoryBarrier();
        while (true)
        {
            int state = Volatile.Read(ref _state);
            int next = state switch { Idle => Queued, Running => RunningAgain, _ => state };
            if (next == state)
            {
                return;
            }

            if (Interlocked.CompareExchange(ref _state, next, state) == state)
            {
                if (next == Queued)
                {
                    ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
                }

                return;
            }
        }
    }

    [SuppressMessage("Design", "CA1031", Justification = "A VSP's bug must cost one channel, not the whole virtual machine.")]
    private bool RunGuarded()
    {
        try
        {
            return Run();
        }
        catch (Exception e)
        {
            // A bug of ours, not the guest's doing: said to whoever listens, even when not every message is traced.
            Fault($"handler failed: {e}", isOurs: true);
            return false;
        }
    }

    private bool Run()
    {
        IChannelHandler? handler = Volatile.Read(ref _handler);
        if (handler is null || _closed)
        {
            return false;
        }

        bool onVp = _maxBatch == MaxBatchOnVp;
        if (Volatile.Read(ref _closing))
        {
            // A close waits for I/O, which a VP must not.
            if (!onVp)
            {
                Close(handler);
            }

            return onVp;
        }

        if (_faulted || Volatile.Read(ref _paused))
        {
            return false;
        }

        if (!_started)
        {
            if (onVp)
            {
                return true;
            }

            _started = true;
            handler.OnOpened(this);
        }

        CheckSpace(handler);
        if (Volatile.Read(ref _resume))
        {
            Volatile.Write(ref _resume, false);
            _blocked = false;
        }

        bool more = !_blocked && Drain(handler);
        Flush();
        return more;
    }

    private void CheckSpace(IChannelHandler handler)
    {
        bool writable;
        lock (_writeLock)
        {
            writable = _writer.TryStopWaiting();
            _writableOwed &= !writable;
            if (_writer.IsWaiting)
            {
                _spacePoll?.Change(SpacePollMilliseconds, Timeout.Infinite);
            }
        }

        if (writable)
        {
            _blocked = false;
            handler.OnWritable(this);
        }
    }

    /// <summary>Delivers packets until the ring is empty.</summary>
    /// <returns>True when it should be called again.</returns>
    private bool Drain(IChannelHandler handler)
    {
        int packets = 0;
        long bytes = 0;
        RingReadStatus status;
        _reader.Mask();
        do
        {
            status = DrainBatch(handler, ref packets, ref bytes);
            if (status != RingReadStatus.Empty)
            {
                break;
            }

            handler.OnBatchEnd(this);
            CommitReads();
            Flush();
            if (_reader.UnmaskAndCheckEmpty())
            {
                break;
            }

            _reader.Mask();
        }
        while (true);

        _counters.PacketsIn.Add(packets);
        _counters.BytesIn.Add(bytes);
        if (status == RingReadStatus.Empty)
        {
            return false;
        }

        if (status == RingReadStatus.Broken)
        {
            Fault("the guest's ring makes no sense");
            return false;
        }

        // Stopped in the middle: batch limit, back-pressure, pause or close. The mask stays: we come back without a signal.
        handler.OnBatchEnd(this);
        CommitReads();
        return !_blocked;
    }

    /// <returns>Packet when it stopped before the ring was empty.</returns>
    private RingReadStatus DrainBatch(IChannelHandler handler, ref int packets, ref long bytes)
    {
        while (true)
        {
            if (packets >= _maxBatch || Volatile.Read(ref _paused) || Volatile.Read(ref _closing))
            {
                return RingReadStatus.Packet;
            }

            RingReadStatus status = _reader.TryPeek();
            if (status != RingReadStatus.Packet)
            {
                return status;
            }

            if (!PacketParser.TryParse(_reader.Descriptor, _reader.Body, _ranges, this, out IncomingPacket packet))
            {
                return RingReadStatus.Broken;
            }

            int bodyBytes = _reader.Body.Length;
            if (!handler.OnPacket(this, packet))
            {
                _blocked = true;
                return RingReadStatus.Packet;
            }

            packets++;
            bytes += bodyBytes;
            _reader.Advance();
            if (_reader.ShouldCommit)
            {
                CommitReads();
            }
        }
    }

    private void CommitReads()
    {
        if (_reader.Commit())
        {
            Interrupt();
        }
    }

    private void Close(IChannelHandler handler)
    {
        _closed = true;
        bool writable;
        lock (_writeLock)
        {
            writable = _writableOwed;
            _writableOwed = false;
        }

        try
        {
            // Whoever waits for room learns now that there is nothing to wait for: its writes return Closed.
            if (writable)
            {
                handler.OnWritable(this);
            }

            handler.OnClosed(this);
        }
        finally
        {
            _host.ChannelClosed(this);
        }
    }

    private void Fault(string reason, bool isOurs = false)
    {
        _faulted = true;
        _counters.Faults.Increment();
        if (isOurs || _host.TraceEnabled)
        {
            _host.Trace($"vmbus {Offer.Name} relid {Relid}: channel given up: {reason}");
        }
    }
}

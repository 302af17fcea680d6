// All timers of a partition on one thread: a binary min-heap by due time, in nanoseconds of partition time.
using Sharpvisor.Core;
using Sharpvisor.Core.Interop;

namespace Sharpvisor.Hypervisor;

/// <summary>
/// Arming and cancelling are O(log n) and allocate nothing. A timer cancelled or re-armed before its callback was chosen
/// does not run; a callback that is already running when Cancel returns may still finish (owners re-check their state).
/// </summary>
public sealed class TimerService : ITimerService, IDisposable
{
    private readonly Lock _lock = new();
    private readonly HostTimer _hostTimer = new();
    private readonly Func<bool> _isPaused;
    private readonly Action<Exception>? _failed;
    private readonly Thread _thread;
    private OneShotTimer[] _heap = new OneShotTimer[32];
    private int _count;
    // When the thread wakes by itself; long.MinValue while it is awake and will look at the heap anyway.
    private long _sleepsUntil = long.MinValue;
    private bool _stopping;

    /// <param name="clock">The partition's time.</param>
    /// <param name="isPaused">Says whether time stands still; call <see cref="Reschedule"/> after it changed.</param>
    /// <param name="failed">Receives what a callback throws; null lets it end the process.</param>
    public TimerService(IPartitionClock clock, Func<bool>? isPaused = null, Action<Exception>? failed = null)
    {
        _failed = failed;
        Clock = clock;
        _isPaused = isPaused ?? (static () => false);
        _thread = new Thread(Run) { IsBackground = true, Name = "timers" };
        _thread.Start();
    }

    /// <inheritdoc/>
    public IPartitionClock Clock { get; }

    /// <inheritdoc/>
    public IOneShotTimer Create(Action expired) => new OneShotTimer(this, expired);

    /// <summary>Makes the timer thread look at the clock again.</summary>
    public void Reschedule() => _hostTimer.Wake();

    /// <summary>Stops the thread; timers never expire again.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_stopping)
            {
                return;
            }

            _stopping = true;
        }

        _hostTimer.Wake();
        if (Thread.CurrentThread != _thread)
        {
            _thread.Join();
        }

        _hostTimer.Dispose();
    }

    private void Run()
    {
        HostTimer.UseLowTimerSlack();
        while (true)
        {
            Action? expired = null;
            long wait = -1;
            lock (_lock)
            {
                if (_stopping)
                {
                    return;
                }

                _sleepsUntil = long.MaxValue;
                if (_count > 0 && !_isPaused())
                {
                    _sleepsUntil = _heap[0].Due;
                    wait = Math.Max(0, _heap[0].Due - Clock.Nanoseconds);
                    if (wait == 0)
                    {
                        expired = _heap[0].Expired;
                        RemoveAt(0);
                        _sleepsUntil = long.MinValue;
                    }
                }
            }

            if (expired != null)
            {
                Expire(expired);
            }
            else
            {
                _hostTimer.Wait(wait);
            }
        }
    }

    private void Expire(Action expired)
    {
        try
        {
            expired();
        }
#pragma warning disable CA1031 // Whatever a device's callback throws ends this VM in order.
        catch (Exception failure) when (_failed != null)
#pragma warning restore CA1031
        {
            _failed(failure);
        }
    }

    private void Arm(OneShotTimer timer, long due)
    {
        bool wake;
        lock (_lock)
        {
            if (_stopping || timer.IsDisposed)
            {
                return;
            }

            if (timer.Index >= 0)
            {
                RemoveAt(timer.Index);
            }

            timer.Due = due;
            if (_count == _heap.Length)
            {
                Array.Resize(ref _heap, _count * 2);
            }

            _heap[_count] = timer;
            timer.Index = _count++;
            SiftUp(timer.Index);

            // Only for an earlier time than it sleeps to. A guest that goes to sleep moves its timer away and, when it wakes, back:
            // the thread sleeps through both, and at worst wakes once for a timer that was there.
            wake = due < _sleepsUntil;
            _sleepsUntil = wake ? due : _sleepsUntil;
        }

        if (wake)
        {
            _hostTimer.Wake();
        }
    }

    private void Cancel(OneShotTimer timer, bool dispose)
    {
        lock (_lock)
        {
            timer.IsDisposed |= dispose;
            if (timer.Index >= 0)
            {
                RemoveAt(timer.Index);
            }
        }
    }

    private void RemoveAt(int index)
    {
        _heap[index].Index = -1;
        OneShotTimer last = _heap[--_count];
        _heap[_count] = null!;
        if (index < _count)
        {
            _heap[index] = last;
            last.Index = index;
            SiftDown(index);
            SiftUp(last.Index);
        }
    }

    private void SiftUp(int index)
    {
        while (index > 0)
        {
            int parent = (index - 1) / 2;
            if (_heap[parent].Due <= _heap[index].Due)
            {
                return;
            }

            Swap(parent, index);
            index = parent;
        }
    }

    private void SiftDown(int index)
    {
        while (true)
        {
            int child = (index * 2) + 1;
            if (child >= _count)
            {
                return;
            }

            if (child + 1 < _count && _heap[child + 1].Due < _heap[child].Due)
            {
                child++;
            }

            if (_heap[index].Due <= _heap[child].Due)
            {
                return;
            }

            Swap(child, index);
            index = child;
        }
    }

    private void Swap(int a, int b)
    {
        (_heap[a], _heap[b]) = (_heap[b], _heap[a]);
        _heap[a].Index = a;
        _heap[b].Index = b;
    }

    private sealed class OneShotTimer(TimerService service, Action expired) : IOneShotTimer
    {
        public Action Expired { get; } = expired;

        public long Due { get; set; }

        public int Index { get; set; } = -1;

        public bool IsDisposed { get; set; }

        public void ArmAt(long dueNanoseconds) => service.Arm(this, dueNanoseconds);

        public void Cancel() => service.Cancel(this, dispose: false);

        public void Dispose() => service.Cancel(this, dispose: true);
    }
}

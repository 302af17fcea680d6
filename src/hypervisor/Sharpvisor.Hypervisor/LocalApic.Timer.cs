// The local APIC's timer: one-shot, periodic and TSC-deadline (Intel SDM Vol. 3A, 11.5.4). The timer thread and the VP's
// thread share its state under one lock; no other lock is taken inside it.
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed partial class LocalApic
{
    /// <summary>Input of the divider, as HV_X64_MSR_APIC_FREQUENCY reports it: Hyper-V's own 200 MHz.</summary>
    public const ulong BusHz = 200_000_000;

    /// <summary>Periodic expirations closer together than this are merged, so that a guest cannot keep the timer thread busy.</summary>
    public const long MinimumPeriodNanoseconds = 50_000;

    private const long NanosecondsPerBusTick = (long)(1_000_000_000 / BusHz);
    private const long Disarmed = long.MaxValue;
    private readonly IPartitionClock _clock;
    private readonly IOneShotTimer _timer;
    private readonly Lock _timerLock = new();
    private uint _divide;
    private uint _initialCount;
    private ulong _tscDeadline;
    private long _due = Disarmed;

    /// <summary>IA32_TSC_DEADLINE: 0 when disarmed or in another mode.</summary>
    public ulong TscDeadline
    {
        get
        {
            lock (_timerLock)
            {
                return _tscDeadline;
            }
        }
    }

    private uint InitialCount => _initialCount;

    private bool IsDeadlineMode => (_lvt[LvtTimer] >> 17 & 3) == 2;

    private bool IsPeriodic => (_lvt[LvtTimer] >> 17 & 3) == 1;

    /// <summary>Divide configuration: 0 is by 2, 7 (encoded 1011b) by 1.</summary>
    private long TickNanoseconds
    {
        get
        {
            int code = (int)((_divide & 3) | ((_divide >> 1) & 4));
            return NanosecondsPerBusTick << ((code + 1) & 7);
        }
    }

    public void WriteTscDeadline(ulong value)
    {
        FireIfOverdue();
        bool expired = false;
        lock (_timerLock)
        {
            if (!IsDeadlineMode)
            {
                return;
            }

            _timer.Cancel();
            _due = Disarmed;
            _tscDeadline = value;
            if (value != 0)
            {
                // One TSC tick is one nanosecond of partition time.
                ulong due = value - _owner.TscOffset;
                long now = _clock.Nanoseconds;
                expired = (long)due <= now && (long)value >= 0;
                if (expired)
                {
                    _tscDeadline = 0;
                }
                else
                {
                    _due = (long)due < 0 ? Disarmed - 1 : (long)due;
                    _timer.ArmAt(_due);
                }
            }
        }

        if (expired)
        {
            FireTimer();
        }
    }

    private void WriteInitialCount(uint value)
    {
        FireIfOverdue();
        lock (_timerLock)
        {
            if (IsDeadlineMode)
            {
                return;
            }

            _initialCount = value;
            if (value == 0)
            {
                _due = Disarmed;
                _timer.Cancel();
                return;
            }

            _due = _clock.Nanoseconds + (value * TickNanoseconds);
            _timer.ArmAt(_due);
        }
    }

    private void WriteDivide(uint value)
    {
        lock (_timerLock)
        {
            uint left = CurrentCountLocked();
            _divide = value;
            if (_due != Disarmed && !IsDeadlineMode)
            {
                _due = _clock.Nanoseconds + (left * TickNanoseconds);
                _timer.ArmAt(_due);
            }
        }
    }

    private void WriteLvtTimer(uint value)
    {
        FireIfOverdue();
        lock (_timerLock)
        {
            bool wasDeadline = IsDeadlineMode;
            Volatile.Write(ref _lvt[LvtTimer], value);
            if (wasDeadline != IsDeadlineMode)
            {
                // Intel SDM Vol. 3A, 11.5.4.1: entering or leaving TSC-deadline mode disarms the timer.
                _initialCount = 0;
                _tscDeadline = 0;
                _due = Disarmed;
                _timer.Cancel();
            }
        }
    }

    private uint CurrentCount()
    {
        lock (_timerLock)
        {
            return CurrentCountLocked();
        }
    }

    private uint CurrentCountLocked()
    {
        if (_due == Disarmed || IsDeadlineMode)
        {
            return 0;
        }

        long tick = TickNanoseconds;
        long left = _due - _clock.Nanoseconds;
        if (left <= 0)
        {
            if (!IsPeriodic)
            {
                return 0;
            }

            long period = _initialCount * tick;
            left = period - (-left % period);
        }

        return (uint)Math.Min(_initialCount, (left + tick - 1) / tick);
    }

    private void ResetTimer()
    {
        lock (_timerLock)
        {
            _divide = 0;
            _initialCount = 0;
            _tscDeadline = 0;
            _due = Disarmed;
            _timer.Cancel();
        }
    }

    /// <summary>
    /// A register write that comes after the due time, but before the timer thread, must not swallow the expiration:
    /// the current count already read zero.
    /// </summary>
    private void FireIfOverdue() => OnTimer();

    private void OnTimer()
    {
        lock (_timerLock)
        {
            long now = _clock.Nanoseconds;
            if (now < _due)
            {
                // Re-armed or disarmed while this expiration was on its way.
                return;
            }

            if (IsPeriodic && _initialCount != 0)
            {
                long period = _initialCount * TickNanoseconds;
                _due += period * (((now - _due) / period) + 1);
                _timer.ArmAt(Math.Max(_due, now + MinimumPeriodNanoseconds));
            }
            else
            {
                _due = Disarmed;
                _tscDeadline = 0;
            }
        }

        FireTimer();
    }

    private void FireTimer()
    {
        uint lvt = Volatile.Read(ref _lvt[LvtTimer]);
        if ((lvt & LvtMasked) == 0)
        {
            AcceptVector((byte)lvt);
        }
    }
}

// One of a VP's four synthetic timers (TLFS "Timers", "Synthetic Timers"): one-shot at a reference time or periodic,
// signalled by a SynIC message or, in direct mode, by an APIC vector.
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed class SyntheticTimer : IDisposable
{
    public const int Count = 4;

    /// <summary>HvMessageTimerExpired.</summary>
    public const uint MessageType = 0x8000_0010;

    public const int PayloadBytes = 24;
    private const ulong Enabled = 1;
    private const ulong Periodic = 2;
    private const ulong AutoEnable = 8;
    public const ulong Direct = 1 << 12;
    private const ulong ConfigBits = 0xF_1FFF;
    private readonly int _index;
    private readonly Synic _synic;
    private readonly VirtualProcessor _processor;
    private readonly IPartitionClock _clock;
    private readonly IOneShotTimer _timer;
    private readonly Counter _expirations;
    private readonly Lock _lock = new();
    private ulong _config;
    private ulong _count;
    private ulong _dueTicks;
    private bool _armed;

    public SyntheticTimer(int index, Synic synic, VirtualProcessor processor, ITimerService timers, InterceptCounters counters)
    {
        _index = index;
        _synic = synic;
        _processor = processor;
        _clock = timers.Clock;
        _timer = timers.Create(OnDue);
        _expirations = counters.TimerExpirations;
    }

    /// <summary>HV_X64_MSR_STIMERn_CONFIG.</summary>
    public ulong Config
    {
        get
        {
            lock (_lock)
            {
                return _config;
            }
        }

        set
        {
            Signal signal;
            lock (_lock)
            {
                _config = value & ConfigBits;
                if ((_config & Direct) == 0 && Sint == 0)
                {
                    // TLFS: a message timer with SINTx zero cannot be enabled.
                    _config &= ~Enabled;
                }

                signal = Restart();
            }

            Send(signal);
        }
    }

    /// <summary>HV_X64_MSR_STIMERn_COUNT: reference time of a one-shot timer, period of a periodic one; 100 ns.</summary>
    public ulong CountValue
    {
        get
        {
            lock (_lock)
            {
                return _count;
            }
        }

        set
        {
            Signal signal;
            lock (_lock)
            {
                _count = value;
                if (value == 0)
                {
                    _config &= ~Enabled;
                }
                else if ((_config & AutoEnable) != 0 && ((_config & Direct) != 0 || Sint != 0))
                {
                    _config |= Enabled;
                }

                signal = Restart();
            }

            Send(signal);
        }
    }

    private int Sint => (int)(_config >> 16) & 15;

    /// <summary>HV_TIMER_MESSAGE_PAYLOAD, at the moment of delivery.</summary>
    public void FillPayload(Span<byte> payload, ulong expirationTicks)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(payload, (uint)_index);
        BinaryPrimitives.WriteUInt32LittleEndian(payload[4..], 0);
        BinaryPrimitives.WriteUInt64LittleEndian(payload[8..], expirationTicks);
        BinaryPrimitives.WriteUInt64LittleEndian(payload[16..], ReferenceTsc.FromNanoseconds(_clock.Nanoseconds));
    }

    public void Reset()
    {
        lock (_lock)
        {
            _config = 0;
            _count = 0;
            _armed = false;
            _timer.Cancel();
        }
    }

    public void Dispose() => _timer.Dispose();

    private void OnDue()
    {
        Signal signal;
        lock (_lock)
        {
            // Re-armed or disabled while this expiration was on its way.
            signal = _armed && _clock.Nanoseconds >= ReferenceTsc.ToNanoseconds(_dueTicks) ? Expire() : default;
        }

        Send(signal);
    }

    private Signal Restart()
    {
        _timer.Cancel();
        _armed = false;
        if ((_config & Enabled) == 0 || _count == 0)
        {
            return default;
        }

        ulong now = ReferenceTsc.FromNanoseconds(_clock.Nanoseconds);
        _armed = true;
        if ((_config & Periodic) != 0)
        {
            _dueTicks = now + _count < now ? ulong.MaxValue : now + _count;
        }
        else
        {
            _dueTicks = _count;
            if (now >= _count)
            {
                // TLFS: a one-shot timer whose count lies in the past expires at once.
                return Expire();
            }
        }

        _timer.ArmAt(ReferenceTsc.ToNanoseconds(_dueTicks));
        return default;
    }

    private Signal Expire()
    {
        _expirations.Increment();
        var signal = new Signal(true, (_config & Direct) != 0, (byte)(_config >> 4), Sint, _dueTicks);
        if ((_config & Periodic) == 0)
        {
            _config &= ~Enabled;
            _armed = false;
            return signal;
        }

        // Missed periods are skipped; periods shorter than the host can keep up with are merged.
        long nowNanoseconds = _clock.Nanoseconds;
        ulong now = ReferenceTsc.FromNanoseconds(nowNanoseconds);
        ulong missed = now > _dueTicks ? (now - _dueTicks) / _count : 0;
        ulong next = _dueTicks + (_count * (missed + 1));
        _dueTicks = next < _dueTicks ? ulong.MaxValue : next;
        _timer.ArmAt(Math.Max(
            ReferenceTsc.ToNanoseconds(_dueTicks), nowNanoseconds + LocalApic.MinimumPeriodNanoseconds));
        return signal;
    }

    private void Send(in Signal signal)
    {
        if (!signal.IsDue)
        {
            return;
        }

        if (signal.IsDirect)
        {
            _processor.Apic.AcceptVector(signal.Vector);
        }
        else
        {
            _synic.PostTimer(_index, signal.Sint, signal.ExpirationTicks);
        }
    }

    private readonly record struct Signal(bool IsDue, bool IsDirect, byte Vector, int Sint, ulong ExpirationTicks);
}

// The 8254 programmable interval timer (Intel 8254 datasheet, order number 231164) and port 0x61, which gates and reads
// channel 2. Counts are computed from partition time; only channel 0's output changes are scheduled.
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Three counters at 1.193182 MHz: IRQ 0, DRAM refresh, speaker.</summary>
public sealed class Pit8254 : IPortDevice, IDisposable
{
    private const ushort SpeakerPort = 0x61;
    private const long RefreshToggleNanoseconds = 15_085;

    // Ticks that came due while the host was busy are caught up at twice the rate (an edge needs time to be taken, or the
    // next one merges into it), but none older than this: a guest that counts ticks keeps time over short stalls and is
    // not flooded after long ones.
    private const long MaximumLagNanoseconds = 250_000_000;

    // A shorter period would cost a host core (kvm has the same floor, min_timer_period_us); the guest loses ticks instead.
    private const long MinimumIntervalNanoseconds = 50_000;

    private readonly IPartitionClock _clock;
    private readonly IOneShotTimer _timer;
    private readonly IInterruptLine _interrupt;
    private readonly PitChannel[] _channels = [new(), new(), new()];
    private readonly Lock _lock = new();
    private bool _speakerData;

    public Pit8254(IDeviceBus bus, ITimerService timers, IInterruptLine interrupt)
    {
        ArgumentNullException.ThrowIfNull(bus);
        ArgumentNullException.ThrowIfNull(timers);
        _clock = timers.Clock;
        _interrupt = interrupt;
        _timer = timers.Create(Expired);
        bus.MapPorts(0x40, 4, this);
        bus.MapPorts(SpeakerPort, 1, this);
        Reset();
    }

    public void Reset()
    {
        lock (_lock)
        {
            long now = _clock.Nanoseconds;
            for (int i = 0; i < _channels.Length; i++)
            {
                // Gates of channels 0 and 1 are tied high; port 0x61 drives channel 2's.
                _channels[i].Reset(gate: i != 2, now);
            }

            _speakerData = false;
            Reschedule(now);
        }
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes)
    {
        lock (_lock)
        {
            long now = _clock.Nanoseconds;
            uint value = 0;
            for (int i = 0; i < bytes; i++)
            {
                value |= (uint)ReadByte((ushort)(port + i), now) << (8 * i);
            }

            return value;
        }
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        lock (_lock)
        {
            long now = _clock.Nanoseconds;
            for (int i = 0; i < bytes; i++)
            {
                WriteByte((ushort)(port + i), (byte)(value >> (8 * i)), now);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();

    private byte ReadByte(ushort port, long now)
    {
        if (port == SpeakerPort)
        {
            // Intel 82371AB datasheet, 4.5.1 (NMISC): bit 4 toggles with refresh, bit 5 is OUT2.
            PitChannel speaker = _channels[2];
            int refresh = (int)(now / RefreshToggleNanoseconds) & 1;
            return (byte)((speaker.Gate ? 1 : 0) | (_speakerData ? 2 : 0) | (refresh << 4) | (speaker.Output(now) ? 0x20 : 0));
        }

        int index = port & 3;
        return index == 3 ? (byte)0xFF : _channels[index].Read(now);
    }

    private void WriteByte(ushort port, byte value, long now)
    {
        if (port == SpeakerPort)
        {
            _channels[2].SetGate((value & 1) != 0, now);
            _speakerData = (value & 2) != 0;
            return;
        }

        int index = port & 3;
        if (index != 3)
        {
            if (_channels[index].Write(value, now) && index == 0)
            {
                Reschedule(now);
            }

            return;
        }

        int select = value >> 6;
        if (select == 3)
        {
            ReadBack(value, now);
        }
        else if (_channels[select].Control(value, now) && select == 0)
        {
            Reschedule(now);
        }
    }

    private void ReadBack(byte value, long now)
    {
        for (int i = 0; i < _channels.Length; i++)
        {
            if ((value & (2 << i)) != 0)
            {
                // Bits 5 and 4 are active low: latch count, latch status.
                _channels[i].ReadBack(count: (value & 0x20) == 0, status: (value & 0x10) == 0, now);
            }
        }
    }

    /// <summary>
    /// After a mode or count write: the next rising edge is scheduled. The line is low until then, so that programming
    /// a mode whose output starts high is not a tick.
    /// </summary>
    private void Reschedule(long now)
    {
        _interrupt.Set(false);
        Arm(_channels[0].NextRise(now));
    }

    private void Arm(long due)
    {
        if (due == PitChannel.Never)
        {
            _timer.Cancel();
        }
        else
        {
            _timer.ArmAt(due);
        }
    }

    private void Expired()
    {
        lock (_lock)
        {
            PitChannel channel = _channels[0];
            long now = _clock.Nanoseconds;
            long due = channel.DueRise;
            if (due == PitChannel.Never || due > now)
            {
                // Reprogrammed while the callback was on its way.
                Arm(due);
                return;
            }

            // A pulse: OUT0's low phase (one count in mode 2, half a period in mode 3) needs no timer of its own.
            _interrupt.Set(false);
            _interrupt.Set(true);
            long next = channel.NextRise(Math.Max(due, now - MaximumLagNanoseconds));
            long at = next < now ? now + (channel.PeriodNanoseconds / 2) : next;
            Arm(Math.Max(at, now + MinimumIntervalNanoseconds));
        }
    }
}

// The MC146818 real-time clock and CMOS RAM as the PIIX4 has it: index/data at 0x70/0x71 and the upper bank at 0x72/0x73
// (Motorola MC146818A datasheet; Intel 82371AB datasheet, 4.4). Time is the host's UTC plus what the guest set.
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Clock, alarm, periodic and update interrupts (IRQ 8), and 256 bytes of non-volatile RAM.</summary>
public sealed class CmosRtc : IPortDevice, IDisposable
{
    public const int CenturyIndex = 0x32;

    private const int RegisterA = 0x0A;
    private const int RegisterB = 0x0B;
    private const int RegisterC = 0x0C;
    private const int RegisterD = 0x0D;
    private const byte BSet = 0x80;
    private const byte BInterrupts = 0x70;
    private const byte BBinary = 4;
    private const byte B24Hours = 2;
    private const byte FlagPeriodic = 0x40;
    private const byte FlagAlarm = 0x20;
    private const byte FlagUpdate = 0x10;
    private const byte FlagInterrupt = 0x80;

    // UIP announces an update 244 µs ahead (datasheet, "Update Cycle").
    private const long UpdateAheadTicks = 2440;

    private readonly TimeProvider _host;
    private readonly IPartitionClock _clock;
    private readonly IOneShotTimer _timer;
    private readonly IInterruptLine _interrupt;
    private readonly Lock _lock = new();
    private readonly byte[] _ram = new byte[256];
    private byte _index;
    private byte _extendedIndex;

    /// <summary>Guest time minus host UTC, in 100 ns.</summary>
    private long _offset;
    private long _frozen;
    private long _flagsAt;
    private byte _flags;

    /// <param name="bus">The device bus.</param>
    /// <param name="timers">Schedules the interrupts.</param>
    /// <param name="interrupt">IRQ 8.</param>
    /// <param name="host">Where UTC comes from.</param>
    /// <param name="lowRamBytes">RAM below 4 GiB, for the memory size bytes.</param>
    /// <param name="highRamBytes">RAM above 4 GiB.</param>
    public CmosRtc(
        IDeviceBus bus, ITimerService timers, IInterruptLine interrupt, TimeProvider host, ulong lowRamBytes, ulong highRamBytes)
    {
        ArgumentNullException.ThrowIfNull(bus);
        ArgumentNullException.ThrowIfNull(timers);
        ArgumentNullException.ThrowIfNull(host);
        _host = host;
        _clock = timers.Clock;
        _interrupt = interrupt;
        _timer = timers.Create(Expired);
        _ram[RegisterA] = 0x26;
        _ram[RegisterB] = B24Hours;
        _ram[RegisterD] = 0x80;
        FillMemorySizes(lowRamBytes, highRamBytes);
        _flagsAt = Now();
        bus.MapPorts(0x70, 4, this);
    }

    /// <summary>RESET# clears interrupt enables and flags; time and RAM are on the battery.</summary>
    public void Reset()
    {
        lock (_lock)
        {
            _ram[RegisterB] = (byte)(_ram[RegisterB] & ~(BInterrupts | 8));
            _flags = 0;
            _index = 0;
            Update();
        }
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes)
    {
        lock (_lock)
        {
            return port switch
            {
                0x71 => ReadRegister(_index),
                0x73 => ReadRegister((byte)(_extendedIndex | 0x80)),
                // 0x70 is write-only; 0x72 reads back.
                0x72 => _extendedIndex,
                _ => 0xFF,
            };
        }
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        lock (_lock)
        {
            switch (port)
            {
                case 0x70:
                    // Bit 7 masks NMI, which this board never raises.
                    _index = (byte)(value & 0x7F);
                    if (bytes > 1)
                    {
                        WriteRegister(_index, (byte)(value >> 8));
                    }

                    break;
                case 0x71:
                    WriteRegister(_index, (byte)value);
                    break;
                case 0x72:
                    _extendedIndex = (byte)(value & 0x7F);
                    break;
                case 0x73:
                    WriteRegister((byte)(_extendedIndex | 0x80), (byte)value);
                    break;
                default:
                    break;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();

    private byte ReadRegister(byte index)
    {
        switch (index)
        {
            case 0 or 2 or 4 or 6 or 7 or 8 or 9 or CenturyIndex when Running:
                return CmosTime.Field(new DateTime(GuestTicks(), DateTimeKind.Utc), index, Binary, Hours24);
            case RegisterA:
                long phase = GuestTicks() % TimeSpan.TicksPerSecond;
                bool updating = Running && phase >= TimeSpan.TicksPerSecond - UpdateAheadTicks;
                return (byte)(_ram[RegisterA] | (updating ? 0x80 : 0));
            case RegisterC:
                CollectFlags();
                byte flags = _flags;
                _flags = 0;
                Update();
                return flags;
            default:
                return _ram[index];
        }
    }

    private void WriteRegister(byte index, byte value)
    {
        switch (index)
        {
            case 0 or 2 or 4 or 6 or 7 or 8 or 9 or CenturyIndex:
                SetTimeField(index, value);
                break;
            case RegisterA:
                CollectFlags();
                _ram[RegisterA] = (byte)(value & 0x7F);
                break;
            case RegisterB:
                CollectFlags();
                WriteRegisterB(value);
                break;
            case RegisterC or RegisterD:
                return;
            default:
                _ram[index] = value;
                if (index > RegisterD)
                {
                    return;
                }

                break;
        }

        Update();
    }

    private void WriteRegisterB(byte value)
    {
        bool wasRunning = Running;
        long ticks = GuestTicks();
        // The datasheet: SET clears UIE.
        _ram[RegisterB] = (byte)((value & BSet) != 0 ? value & ~0x10 : value);
        if (wasRunning && !Running)
        {
            // The registers hold still, and the guest writes them in any order.
            _frozen = ticks;
            CmosTime.Store(new DateTime(ticks, DateTimeKind.Utc), _ram, Binary, Hours24);
        }
        else if (!wasRunning && Running)
        {
            _flagsAt = CmosTime.Load(_ram, Binary, Hours24).Ticks;
            _offset = _flagsAt - _host.GetUtcNow().Ticks;
        }
    }

    private void SetTimeField(byte index, byte value)
    {
        if (!Running)
        {
            _ram[index] = value;
            return;
        }

        long ticks = GuestTicks();
        if (!CmosTime.TryWithField(new DateTime(ticks, DateTimeKind.Utc), index, value, Binary, Hours24, out DateTime changed))
        {
            return;
        }

        _offset += changed.Ticks - ticks;
        _flagsAt = changed.Ticks;
    }

    private bool Binary => (_ram[RegisterB] & BBinary) != 0;

    private bool Hours24 => (_ram[RegisterB] & B24Hours) != 0;

    private bool Running => (_ram[RegisterB] & BSet) == 0;

    private long Now() => _host.GetUtcNow().Ticks + _offset;

    private long GuestTicks() => Running ? Math.Clamp(Now(), 0, DateTime.MaxValue.Ticks) : _frozen;

    /// <summary>The periodic interrupt's period in 100 ns, or 0 (datasheet, table 5: 32 768 Hz time base).</summary>
    private long PeriodTicks()
    {
        int rate = _ram[RegisterA] & 15;
        if (rate == 0)
        {
            return 0;
        }

        // Rates 1 and 2 repeat 8 and 9.
        int shift = rate <= 2 ? rate + 6 : rate - 1;
        return (TimeSpan.TicksPerSecond << shift) / 32768;
    }

    /// <summary>Sets what became due since the last look; flags are set whether or not their interrupts are enabled.</summary>
    private void CollectFlags()
    {
        long now = GuestTicks();
        long since = _flagsAt;
        if (now <= since)
        {
            _flagsAt = now;
            return;
        }

        _flagsAt = now;
        long period = PeriodTicks();
        if (period != 0 && now / period != since / period)
        {
            _flags |= FlagPeriodic;
        }

        if (Running && now / TimeSpan.TicksPerSecond != since / TimeSpan.TicksPerSecond)
        {
            _flags |= FlagUpdate;
            if (NextAlarm(since) <= now)
            {
                _flags |= FlagAlarm;
            }
        }
    }

    private long NextAlarm(long after) =>
        CmosTime.NextAlarm(after, _ram[1], _ram[3], _ram[5], Binary, Hours24);

    /// <summary>Drives IRQ 8 and schedules the next enabled event; none while the guest has not read register C.</summary>
    private void Update()
    {
        byte enabled = (byte)(_ram[RegisterB] & BInterrupts);
        if ((_flags & enabled) != 0)
        {
            _flags |= FlagInterrupt;
            _interrupt.Set(true);
            _timer.Cancel();
            return;
        }

        _flags = (byte)(_flags & ~FlagInterrupt);
        _interrupt.Set(false);
        long now = GuestTicks();
        long due = long.MaxValue;
        long period = PeriodTicks();
        if ((enabled & FlagPeriodic) != 0 && period != 0)
        {
            due = ((now / period) + 1) * period;
        }

        if ((enabled & FlagUpdate) != 0 && Running)
        {
            due = Math.Min(due, ((now / TimeSpan.TicksPerSecond) + 1) * TimeSpan.TicksPerSecond);
        }

        if ((enabled & FlagAlarm) != 0 && Running)
        {
            due = Math.Min(due, NextAlarm(now));
        }

        if (due == long.MaxValue)
        {
            _timer.Cancel();
        }
        else
        {
            _timer.ArmAt(_clock.Nanoseconds + ((due - now) * 100));
        }
    }

    private void Expired()
    {
        lock (_lock)
        {
            CollectFlags();
            Update();
        }
    }

    private void FillMemorySizes(ulong lowRamBytes, ulong highRamBytes)
    {
        const ulong MiB = 1 << 20;
        Put16(0x15, 640);
        ulong extendedKiB = Math.Min((lowRamBytes - MiB) >> 10, 0xFFFF);
        Put16(0x17, extendedKiB);
        Put16(0x30, extendedKiB);
        // As AMI and SeaBIOS have it: 64 KiB units above 16 MiB, and above 4 GiB.
        Put16(0x34, lowRamBytes > 16 * MiB ? Math.Min((lowRamBytes - (16 * MiB)) >> 16, 0xFFFF) : 0);
        Put16(0x5B, (highRamBytes >> 16) & 0xFFFF);
        _ram[0x5D] = (byte)(highRamBytes >> 32);
        // Equipment: FPU and PS/2 mouse, no floppy drive, no boot display.
        _ram[0x14] = 0x06;
    }

    private void Put16(int index, ulong value)
    {
        _ram[index] = (byte)value;
        _ram[index + 1] = (byte)(value >> 8);
    }
}

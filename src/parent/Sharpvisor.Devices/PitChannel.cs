// One counter of the 8254 (Intel 8254 datasheet, "Mode Definitions"). Its count and output are functions of the time since
// the count was loaded.
namespace Sharpvisor.Devices;

/// <summary>One counter. Not thread-safe: <see cref="Pit8254"/> locks.</summary>
internal sealed class PitChannel
{
    public const long Never = long.MaxValue;

    private const long Hz = 1_193_182;
    private const long NanosecondsPerSecond = 1_000_000_000;

    private int _access;
    private int _mode;
    private bool _bcd;
    private int _reload;
    private byte _lowWritten;
    private bool _writeHigh;
    private bool _readHigh;
    private bool _loaded;
    private long _start;
    private long _pausedCounts;
    private int _latch;
    private int _latchedBytes;
    private int _latchedStatus = -1;

    public bool Gate { get; private set; }

    /// <summary>The edge that <see cref="NextRise"/> last gave.</summary>
    public long DueRise { get; private set; } = Never;

    /// <summary>Of the periodic modes.</summary>
    public long PeriodNanoseconds => NanosecondsOf(_reload);

    public void Reset(bool gate, long now)
    {
        _access = 3;
        _mode = 3;
        _bcd = false;
        _reload = 0x10000;
        _writeHigh = _readHigh = _loaded = false;
        _start = now;
        _pausedCounts = 0;
        _latchedBytes = 0;
        _latchedStatus = -1;
        DueRise = Never;
        Gate = gate;
    }

    /// <returns>True when the channel's output may have changed.</returns>
    public bool Control(byte value, long now)
    {
        int access = (value >> 4) & 3;
        if (access == 0)
        {
            LatchCount(now);
            return false;
        }

        _access = access;
        // Modes 6 and 7 are 2 and 3.
        int mode = (value >> 1) & 7;
        _mode = mode > 5 ? mode - 4 : mode;
        _bcd = (value & 1) != 0;
        _writeHigh = _readHigh = false;
        _latchedBytes = 0;
        _latchedStatus = -1;
        _loaded = false;
        return true;
    }

    /// <returns>True when a complete count was loaded.</returns>
    public bool Write(byte value, long now)
    {
        switch (_access)
        {
            case 1:
                return Load(value, now);
            case 2:
                return Load(value << 8, now);
            default:
                _writeHigh = !_writeHigh;
                if (_writeHigh)
                {
                    _lowWritten = value;
                    if (_mode is 0 or 4)
                    {
                        // The first byte stops counting (mode 0).
                        _loaded = false;
                    }

                    return _mode == 0;
                }

                return Load(_lowWritten | (value << 8), now);
        }
    }

    public byte Read(long now)
    {
        if (_latchedStatus >= 0)
        {
            byte status = (byte)_latchedStatus;
            _latchedStatus = -1;
            return status;
        }

        int value;
        if (_latchedBytes > 0)
        {
            _latchedBytes--;
            value = _latch;
            if (_access == 3)
            {
                byte part = (byte)(_readHigh ? value >> 8 : value);
                _readHigh = !_readHigh;
                return part;
            }
        }
        else
        {
            value = Encode(Count(now));
        }

        switch (_access)
        {
            case 1:
                return (byte)value;
            case 2:
                return (byte)(value >> 8);
            default:
                bool high = _readHigh;
                _readHigh = !_readHigh;
                return (byte)(high ? value >> 8 : value);
        }
    }

    public void ReadBack(bool count, bool status, long now)
    {
        if (count)
        {
            LatchCount(now);
        }

        if (status && _latchedStatus < 0)
        {
            _latchedStatus = (Output(now) ? 0x80 : 0) | (_loaded ? 0 : 0x40) | (_access << 4) | (_mode << 1) | (_bcd ? 1 : 0);
        }
    }

    public void SetGate(bool gate, long now)
    {
        if (gate == Gate)
        {
            return;
        }

        if (!gate)
        {
            _pausedCounts = Elapsed(now);
            Gate = false;
            return;
        }

        Gate = true;
        // A rising gate restarts modes 1, 2, 3 and 5, and resumes modes 0 and 4.
        long resumed = _mode is 0 or 4 ? _pausedCounts : 0;
        _start = now - NanosecondsOf(resumed);
    }

    public bool Output(long now)
    {
        if (!_loaded)
        {
            return _mode != 0;
        }

        long elapsed = Elapsed(now);
        switch (_mode)
        {
            case 0 or 1:
                return elapsed >= _reload;
            case 2:
                return !Gate || elapsed % _reload != _reload - 1;
            case 3:
                return !Gate || elapsed % _reload < (_reload + 1) / 2;
            default:
                return elapsed != _reload;
        }
    }

    /// <summary>Partition time of the first rising output edge after a moment, or <see cref="Never"/>.</summary>
    public long NextRise(long after)
    {
        DueRise = ComputeNextRise(after);
        return DueRise;
    }

    private long ComputeNextRise(long after)
    {
        if (!_loaded || !Gate)
        {
            return Never;
        }

        long elapsed = Elapsed(after);
        switch (_mode)
        {
            case 0 or 1:
                return elapsed < _reload ? _start + NanosecondsOf(_reload) : Never;
            case 2 or 3:
                return _start + NanosecondsOf(((elapsed / _reload) + 1) * _reload);
            default:
                return elapsed <= _reload ? _start + NanosecondsOf(_reload + 1) : Never;
        }
    }

    private bool Load(int value, long now)
    {
        int count = _bcd ? Decode(value) : value;
        _reload = count == 0 ? (_bcd ? 10_000 : 0x10000) : count;
        if (_mode is 2 or 3 && _reload == 1)
        {
            // Illegal in modes 2 and 3 (datasheet); keep the period positive.
            _reload = 2;
        }

        // DEVIATION: a new count restarts modes 2 and 3 at once instead of at the end of the current period.
        _start = now;
        _pausedCounts = 0;
        _loaded = true;
        return true;
    }

    private void LatchCount(long now)
    {
        if (_latchedBytes == 0)
        {
            _latch = Encode(Count(now));
            _latchedBytes = _access == 3 ? 2 : 1;
            _readHigh = false;
        }
    }

    private long Count(long now)
    {
        if (!_loaded)
        {
            return _reload;
        }

        long elapsed = Elapsed(now);
        switch (_mode)
        {
            case 2:
                return _reload - (elapsed % _reload);
            case 3:
                // Counts down by two, twice a period.
                return _reload - (elapsed * 2 % _reload) & ~1L;
            default:
                long wrap = _bcd ? 10_000 : 0x10000;
                return ((_reload - elapsed) % wrap + wrap) % wrap;
        }
    }

    private long Elapsed(long now) =>
        !Gate ? _pausedCounts : (long)((Int128)Math.Max(0, now - _start) * Hz / NanosecondsPerSecond);

    private static long NanosecondsOf(long counts) =>
        // Rounded up, so that the edge has happened when the timer expires.
        (long)(((Int128)counts * NanosecondsPerSecond + Hz - 1) / Hz);

    private int Encode(long count)
    {
        int value = (int)(count & 0x1FFFF);
        return !_bcd
            ? value & 0xFFFF
            : (value % 10) | (value / 10 % 10 << 4) | (value / 100 % 10 << 8) | (value / 1000 % 10 << 12);
    }

    private static int Decode(int bcd) =>
        (bcd & 15) + (((bcd >> 4) & 15) * 10) + (((bcd >> 8) & 15) * 100) + (((bcd >> 12) & 15) * 1000);
}

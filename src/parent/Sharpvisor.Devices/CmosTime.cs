// Conversions between a point in time and the MC146818's ten time registers (MC146818A datasheet, table 3).
namespace Sharpvisor.Devices;

/// <summary>Encodes and decodes time fields in binary or BCD, 12 or 24 hours.</summary>
internal static class CmosTime
{
    private const int Hour = 4;
    private const byte Pm = 0x80;

    // Century, year, month, day, hour, minute, second: each valid given those before.
    private static readonly byte[] s_loadOrder = [CmosRtc.CenturyIndex, 9, 8, 7, Hour, 2, 0];

    // 0xC0 and up in an alarm register match everything.
    private const byte DontCare = 0xC0;

    public static byte Field(DateTime time, int index, bool binary, bool hours24) => index switch
    {
        0 => Encode(time.Second, binary),
        2 => Encode(time.Minute, binary),
        Hour => EncodeHour(time.Hour, binary, hours24),
        6 => Encode((int)time.DayOfWeek + 1, binary),
        7 => Encode(time.Day, binary),
        8 => Encode(time.Month, binary),
        9 => Encode(time.Year % 100, binary),
        // The century.
        _ => Encode(time.Year / 100, binary),
    };

    /// <summary>Puts a time into the registers.</summary>
    public static void Store(DateTime time, byte[] registers, bool binary, bool hours24)
    {
        registers[6] = Field(time, 6, binary, hours24);
        foreach (byte index in s_loadOrder)
        {
            registers[index] = Field(time, index, binary, hours24);
        }
    }

    /// <summary>The time in the registers; impossible fields count as their first value.</summary>
    public static DateTime Load(byte[] registers, bool binary, bool hours24)
    {
        var time = new DateTime(2000, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        foreach (byte index in s_loadOrder)
        {
            _ = TryWithField(time, index, registers[index], binary, hours24, out time);
        }

        return time;
    }

    /// <summary>False when the field does not exist in that month or is out of range; the day of week is derived, not stored.</summary>
    public static bool TryWithField(DateTime time, int index, byte raw, bool binary, bool hours24, out DateTime result)
    {
        int value = index == Hour ? DecodeHour(raw, binary, hours24) : Decode(raw, binary);
        int year = time.Year, month = time.Month, day = time.Day, hour = time.Hour, minute = time.Minute, second = time.Second;
        switch (index)
        {
            case 0:
                second = value;
                break;
            case 2:
                minute = value;
                break;
            case Hour:
                hour = value;
                break;
            case 7:
                day = value;
                break;
            case 8:
                month = value;
                break;
            case 9:
                year = (year / 100 * 100) + value;
                break;
            case 6:
                break;
            default:
                year = (value * 100) + (year % 100);
                break;
        }

        result = time;
        if (second > 59 || minute > 59 || hour > 23 || month is < 1 or > 12 || year is < 1 or > 9999 || day is < 1 or > 31)
        {
            return false;
        }

        // Fields arrive one by one: 31 may precede its month.
        day = Math.Min(day, DateTime.DaysInMonth(year, month));
        long fraction = time.Ticks % TimeSpan.TicksPerSecond;
        result = new DateTime(year, month, day, hour, minute, second, DateTimeKind.Utc).AddTicks(fraction);
        return true;
    }

    /// <summary>The first whole second after a moment that the alarm registers match, or <see cref="long.MaxValue"/>.</summary>
    public static long NextAlarm(long afterTicks, byte second, byte minute, byte hour, bool binary, bool hours24)
    {
        int s = second >= DontCare ? -1 : Decode(second, binary);
        int m = minute >= DontCare ? -1 : Decode(minute, binary);
        int h = hour >= DontCare ? -1 : DecodeHour(hour, binary, hours24);
        if (s > 59 || m > 59 || h > 23)
        {
            return long.MaxValue;
        }

        long first = (afterTicks / TimeSpan.TicksPerSecond) + 1;
        const int SecondsPerDay = 86400;
        long dayStart = first - (first % SecondsPerDay);
        int from = (int)(first % SecondsPerDay);

        // Steps by the coarsest field that does not match, so at most 24 + 60 + 60 steps a day.
        for (int at = from; at < 2 * SecondsPerDay;)
        {
            int time = at % SecondsPerDay;
            if (h >= 0 && time / 3600 != h)
            {
                at += 3600 - (time % 3600);
            }
            else if (m >= 0 && time / 60 % 60 != m)
            {
                at += 60 - (time % 60);
            }
            else if (s >= 0 && time % 60 != s)
            {
                at++;
            }
            else
            {
                return (dayStart + at) * TimeSpan.TicksPerSecond;
            }
        }

        return long.MaxValue;
    }

    private static byte EncodeHour(int hour, bool binary, bool hours24)
    {
        if (hours24)
        {
            return Encode(hour, binary);
        }

        int twelve = hour % 12 == 0 ? 12 : hour % 12;
        return (byte)(Encode(twelve, binary) | (hour >= 12 ? Pm : 0));
    }

    private static int DecodeHour(byte raw, bool binary, bool hours24)
    {
        if (hours24)
        {
            return Decode(raw, binary);
        }

        int hour = Decode((byte)(raw & ~Pm), binary) % 12;
        return (raw & Pm) != 0 ? hour + 12 : hour;
    }

    private static byte Encode(int value, bool binary) => (byte)(binary ? value : ((value / 10) << 4) | (value % 10));

    private static int Decode(byte raw, bool binary) => binary ? raw : ((raw >> 4) * 10) + (raw & 15);
}

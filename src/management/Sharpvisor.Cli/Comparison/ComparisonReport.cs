// compare's table, and what it means in words.
using System.Globalization;
using System.Text;

namespace Sharpvisor.Cli.Comparison;

internal static class ComparisonReport
{
    // Port ranges of the emulated disk path, as the words below name them.
    private static readonly (string Name, Func<int, bool> Holds)[] s_ports =
    [
        ("IDE task file and data ports", p => p is (>= 0x1F0 and <= 0x1F7) or (>= 0x170 and <= 0x177) or 0x3F6 or 0x376),
        ("bus-master DMA ports", p => p is >= 0xC000 and < 0xD000),
        ("interrupt controllers", p => p is 0x20 or 0x21 or 0xA0 or 0xA1),
    ];

    public static string Format(
        IReadOnlyDictionary<string, WorkMeasurement> emulated, IReadOnlyDictionary<string, WorkMeasurement> synthetic)
    {
        var text = new StringBuilder();
        Row(text, "", "", "", "", "per request:", "", "", "", "host CPU", "");
        Row(text, "work", "disk", "MB/s", "IOPS", "intercepts", "hypercalls", "signals", "interrupts", "us", "ratio");
        foreach (DiskWork work in DiskWork.All)
        {
            WorkMeasurement without = emulated[work.Key];
            WorkMeasurement with = synthetic[work.Key];
            Row(text, work.Title, "emulated", without, "");
            Row(text, "", "synthetic", with, Number(with.RequestsPerSecond / without.RequestsPerSecond, "0.00") + "x");
        }

        text.Append('\n').Append(Explain(emulated, synthetic));
        return text.ToString();
    }

    private static string Explain(
        IReadOnlyDictionary<string, WorkMeasurement> emulated, IReadOnlyDictionary<string, WorkMeasurement> synthetic)
    {
        DiskWork work = DiskWork.All.Single(w => w is { Random: true, Writing: false, Depth: 1 });
        WorkMeasurement without = emulated[work.Key];
        WorkMeasurement with = synthetic[work.Key];
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture,
            $"Where the emulated path spends: a {work.Title} request leaves the guest {without.Intercepts:0.0} times for the worker, each a register access\n");
        foreach ((string name, double count) in PortShares(without))
        {
            text.Append(CultureInfo.InvariantCulture, $"  {count,6:0.0}  {name}\n");
        }

        DiskWork deep = DiskWork.All.Single(w => w is { Random: true, Writing: false, Depth: 16 });
        text.Append(CultureInfo.InvariantCulture,
            $"The synthetic disk needs {with.Signals:0.00} signals and {with.Interrupts:0.00} interrupts for the same request, because request and buffer addresses are written to a ring that both sides see; ");
        text.Append(CultureInfo.InvariantCulture,
            $"at depth 16 the ring carries several requests a signal: {synthetic[deep.Key].Signals:0.00} each, against {emulated[deep.Key].Intercepts:0.0} intercepts on IDE, which has one request in flight.\n");
        return text.ToString();
    }

    private static IEnumerable<(string Name, double Count)> PortShares(WorkMeasurement measurement)
    {
        const string Prefix = "intercepts.port.0x";
        var ports = measurement.Counters
            .Where(c => c.Value > 0 && c.Key.StartsWith(Prefix, StringComparison.Ordinal))
            .Select(c => (Port: int.Parse(c.Key[Prefix.Length..], NumberStyles.HexNumber, CultureInfo.InvariantCulture), c.Value))
            .ToList();
        double rest = measurement.Intercepts;
        foreach ((string name, Func<int, bool> holds) in s_ports)
        {
            double count = (double)ports.Where(p => holds(p.Port)).Sum(p => p.Value) / measurement.Requests;
            rest -= count;
            if (count >= 0.05)
            {
                yield return (name, count);
            }
        }

        if (rest >= 0.05)
        {
            yield return ("everything else (timers, APIC, console)", rest);
        }
    }

    private static void Row(StringBuilder text, string work, string path, WorkMeasurement m, string ratio) => Row(
        text, work, path, Number(m.MegabytesPerSecond, "0.0"), Number(m.RequestsPerSecond, "0"), Number(m.Intercepts, "0.00"),
        Number(m.Hypercalls, "0.00"), Number(m.Signals, "0.00"), Number(m.Interrupts, "0.00"), Number(m.HostCpuMicroseconds, "0"), ratio);

    private static void Row(StringBuilder text, params ReadOnlySpan<string> cells)
    {
        ReadOnlySpan<int> widths = [-30, -10, 8, 8, 12, 11, 8, 11, 10, 8];
        var line = new StringBuilder();
        for (int i = 0; i < cells.Length; i++)
        {
            line.Append(widths[i] < 0 ? cells[i].PadRight(-widths[i]) : cells[i].PadLeft(widths[i]));
        }

        text.Append(line.ToString().TrimEnd()).Append('\n');
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}

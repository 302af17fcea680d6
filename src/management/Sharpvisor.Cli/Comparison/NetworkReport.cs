// compare's network table, and what it means in words.
using System.Globalization;
using System.Text;

namespace Sharpvisor.Cli.Comparison;

internal static class NetworkReport
{
    public static string Format(
        IReadOnlyDictionary<string, WorkMeasurement> legacy, IReadOnlyDictionary<string, WorkMeasurement> synthetic)
    {
        var text = new StringBuilder();
        Row(text, "", "", "", "", "", "per packet:", "", "", "host CPU", "");
        Row(text, "work", "card", "Mbit/s", "packets/s", "trip us", "intercepts", "signals", "interrupts", "us", "ratio");
        foreach (NetworkWork work in NetworkWork.All)
        {
            WorkMeasurement without = legacy[work.Key];
            WorkMeasurement with = synthetic[work.Key];
            Row(text, work, work.Title, "legacy", without, "");
            Row(text, work, "", "synthetic", with, Number(with.RequestsPerSecond / without.RequestsPerSecond, "0.00") + "x");
        }

        NetworkWork bulk = NetworkWork.All[0];
        text.Append(CultureInfo.InvariantCulture, $"\nA packet of the bulk transfer is 1448 bytes of TCP's payload. The legacy card leaves the guest {legacy[bulk.Key].Intercepts:0.00} times ");
        text.Append(CultureInfo.InvariantCulture, $"for each; the synthetic one takes segments of up to 64 KiB whole, and needs {synthetic[bulk.Key].Signals:0.000} signals and {synthetic[bulk.Key].Interrupts:0.000} interrupts a packet.\n");
        return text.ToString();
    }

    // A round trip is two packets, and its rate says how long it takes.
    private static void Row(StringBuilder text, NetworkWork work, string title, string card, WorkMeasurement m, string ratio)
    {
        bool trips = work.Kind == "pingpong";
        double packets = trips ? 2 : 1;
        Row(
            text, title, card,
            trips ? "" : Number(m.MegabytesPerSecond * 8, "0.0"),
            Number(m.RequestsPerSecond * packets, "0"),
            trips ? Number(m.Elapsed.TotalMicroseconds / m.Requests, "0") : "",
            Number(m.Intercepts / packets, "0.00"),
            Number(m.Signals / packets, "0.000"),
            Number(m.Interrupts / packets, "0.000"),
            Number(m.HostCpuMicroseconds / packets, "0.0"),
            ratio);
    }

    private static void Row(StringBuilder text, params ReadOnlySpan<string> cells)
    {
        ReadOnlySpan<int> widths = [-30, -10, 9, 11, 9, 12, 9, 12, 10, 8];
        var line = new StringBuilder();
        for (int i = 0; i < cells.Length; i++)
        {
            line.Append(widths[i] < 0 ? cells[i].PadRight(-widths[i]) : cells[i].PadLeft(widths[i]));
        }

        text.Append(line.ToString().TrimEnd()).Append('\n');
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}

// --stats: the counters as nested JSON, their dotted names split at the dots.
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Sharpvisor.Worker;

internal static class VmStatisticsReport
{
    public static void Write(Stream stream, IEnumerable<KeyValuePair<string, long>> counters, TimeSpan wallClock, IReadOnlyList<long> instructions)
    {
        var root = new JsonObject
        {
            ["wall_seconds"] = Math.Round(wallClock.TotalSeconds, 6),
            ["cpu_seconds"] = Math.Round(Environment.CpuUsage.TotalTime.TotalSeconds, 6),
            ["instructions"] = new JsonObject
            {
                ["total"] = instructions.Sum(),
                ["by_vp"] = new JsonArray([.. instructions.Select(i => (JsonNode)JsonValue.Create(i))]),
            },
        };
        foreach ((string name, long value) in counters.OrderBy(c => c.Key, StringComparer.Ordinal))
        {
            string[] path = name.Split('.');
            JsonObject node = root;
            foreach (string part in path[..^1])
            {
                node = (JsonObject)(node[part] ??= new JsonObject());
            }

            node[path[^1]] = value;
        }

        using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        root.WriteTo(writer);
    }
}

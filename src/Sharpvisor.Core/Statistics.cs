// Counters for --stats: fixed sets incremented without locks on hot paths, read once at the end.
using System.Collections.Concurrent;

namespace Sharpvisor.Core;

/// <summary>One monotonic count.</summary>
public sealed class Counter
{
    private long _value;

    public long Value => Volatile.Read(ref _value);

    public void Add(long amount) => Interlocked.Add(ref _value, amount);

    public void Increment() => Interlocked.Increment(ref _value);
}

/// <summary>Named counters of one VM. Look a counter up once, at construction, and keep it.</summary>
public sealed class Statistics
{
    private readonly ConcurrentDictionary<string, Counter> _counters = new(StringComparer.Ordinal);

    /// <param name="name">Dotted path, which becomes nesting in the JSON: <c>intercepts.port.0x1f0</c>, <c>vmbus.storvsc0.signals</c>.</param>
    public Counter this[string name] => _counters.GetOrAdd(name, static _ => new Counter());

    public IReadOnlyDictionary<string, long> Snapshot() => _counters.ToDictionary(p => p.Key, p => p.Value.Value);
}

/// <summary>Where <c>--trace</c> lines go. Check <see cref="IsEnabled"/> before formatting.</summary>
public interface ITraceSink
{
    bool IsEnabled { get; }

    void Line(string text);
}

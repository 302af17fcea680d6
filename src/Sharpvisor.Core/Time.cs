// Time as a partition sees it. One monotonic source feeds TSC, reference time and every timer, so they cannot drift apart.
using System.Diagnostics;

namespace Sharpvisor.Core;

/// <summary>Partition time: nanoseconds since the partition was created, from the host's monotonic clock; stops while paused.</summary>
public interface IPartitionClock
{
    /// <summary>The guest's TSC frequency: 1 GHz, so that one TSC tick is one nanosecond of partition time.</summary>
    public const ulong TscHz = 1_000_000_000;

    long Nanoseconds { get; }
}

/// <summary>The clock of a partition that is never paused.</summary>
public sealed class PartitionClock : IPartitionClock
{
    private readonly long _start = Stopwatch.GetTimestamp();

    /// <inheritdoc/>
    public long Nanoseconds =>
        // On Linux the Stopwatch counts CLOCK_MONOTONIC nanoseconds.
        Stopwatch.Frequency == 1_000_000_000
            ? Stopwatch.GetTimestamp() - _start
            : Stopwatch.GetElapsedTime(_start).Ticks * 100;
}

/// <summary>Creates one-shot timers in partition time; all callbacks run on one thread, in due order, and must not block.</summary>
public interface ITimerService
{
    IPartitionClock Clock { get; }

    IOneShotTimer Create(Action expired);
}

/// <summary>A one-shot timer. Thread-safe.</summary>
public interface IOneShotTimer : IDisposable
{
    /// <summary>Arms, or re-arms, for a point in partition time; a past one expires at once.</summary>
    void ArmAt(long dueNanoseconds);

    void Cancel();
}

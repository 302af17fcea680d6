// Partition time that stops while the partition is paused, so that neither TSC nor timers jump at resume.
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed class PausableClock : IPartitionClock
{
    private readonly PartitionClock _host = new();
    private readonly Lock _lock = new();
    private long _pausedNanoseconds;
    private long _pausedAt = -1;

    public bool IsPaused => Volatile.Read(ref _pausedAt) >= 0;

    public long Nanoseconds
    {
        get
        {
            long pausedAt = Volatile.Read(ref _pausedAt);
            return pausedAt >= 0 ? pausedAt : _host.Nanoseconds - Volatile.Read(ref _pausedNanoseconds);
        }
    }

    public void Pause()
    {
        lock (_lock)
        {
            if (!IsPaused)
            {
                Volatile.Write(ref _pausedAt, Nanoseconds);
            }
        }
    }

    public void Resume()
    {
        lock (_lock)
        {
            if (IsPaused)
            {
                Volatile.Write(ref _pausedNanoseconds, _host.Nanoseconds - _pausedAt);
                Volatile.Write(ref _pausedAt, -1);
            }
        }
    }
}

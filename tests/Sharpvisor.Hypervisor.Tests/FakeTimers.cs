// Partition time under the test's control.
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor.Tests;

internal sealed class FakeTimers : ITimerService, IPartitionClock
{
    private readonly List<Timer> _timers = [];

    public IPartitionClock Clock => this;

    public long Nanoseconds { get; private set; } = 1_000_000_000;

    public IOneShotTimer Create(Action expired)
    {
        var timer = new Timer(expired);
        _timers.Add(timer);
        return timer;
    }

    public void Advance(long nanoseconds)
    {
        long end = Nanoseconds + nanoseconds;
        while (_timers.Where(t => t.Due <= end).MinBy(t => t.Due) is { } next)
        {
            Nanoseconds = Math.Max(Nanoseconds, next.Due);
            next.Due = long.MaxValue;
            next.Expired();
        }

        Nanoseconds = end;
    }

    private sealed class Timer(Action expired) : IOneShotTimer
    {
        public Action Expired { get; } = expired;

        public long Due { get; set; } = long.MaxValue;

        public void ArmAt(long dueNanoseconds) => Due = dueNanoseconds;

        public void Cancel() => Due = long.MaxValue;

        public void Dispose() => Cancel();
    }
}

using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Hypervisor.Tests;

public sealed class TimerServiceTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    [Fact]
    public void Timers_expire_in_due_order()
    {
        using var service = new TimerService(new PartitionClock());
        using var done = new CountdownEvent(50);
        var order = new List<int>();
        long start = service.Clock.Nanoseconds + 500_000_000;
        int[] numbers = [.. Enumerable.Range(0, 50)];
        new Random(7).Shuffle(numbers);
        foreach (int i in numbers)
        {
            service.Create(() =>
            {
                order.Add(i);
                done.Signal();
            }).ArmAt(start + (i * 100_000));
        }

        Assert.True(done.Wait(s_patience, TestContext.Current.CancellationToken));
        Assert.Equal(Enumerable.Range(0, 50), order);
    }

    [Fact]
    public void Rearming_and_cancelling_replace_the_earlier_due_time()
    {
        using var service = new TimerService(new PartitionClock());
        using var done = new ManualResetEventSlim();
        int wrong = 0;
        IOneShotTimer cancelled = service.Create(() => wrong++);
        IOneShotTimer moved = service.Create(done.Set);
        cancelled.ArmAt(service.Clock.Nanoseconds + 1_000_000_000_000);
        moved.ArmAt(service.Clock.Nanoseconds + 2_000_000_000_000);
        cancelled.Cancel();
        moved.ArmAt(0);
        Assert.True(done.Wait(s_patience, TestContext.Current.CancellationToken));
        cancelled.Dispose();
        cancelled.ArmAt(0);
        done.Reset();
        moved.ArmAt(0);
        Assert.True(done.Wait(s_patience, TestContext.Current.CancellationToken));
        Assert.Equal(0, wrong);
    }

    [Fact]
    public void Nothing_expires_early_nor_while_paused()
    {
        bool paused = true;
        using var service = new TimerService(new PartitionClock(), () => Volatile.Read(ref paused));
        using var done = new ManualResetEventSlim();
        long due = service.Clock.Nanoseconds + 1_000_000;
        long expired = 0;
        service.Create(() =>
        {
            expired = service.Clock.Nanoseconds;
            done.Set();
        }).ArmAt(due);
        Assert.False(done.IsSet);
        Volatile.Write(ref paused, false);
        service.Reschedule();
        Assert.True(done.Wait(s_patience, TestContext.Current.CancellationToken));
        Assert.True(expired >= due);
    }
}

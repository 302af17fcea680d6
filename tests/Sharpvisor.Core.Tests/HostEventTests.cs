// The futex event that VPs and disk threads sleep on.
using Sharpvisor.Core.Interop;
using Xunit;

namespace Sharpvisor.Core.Tests;

public sealed class HostEventTests
{
    [Fact]
    public void A_signal_before_the_wait_is_not_lost_and_counts_once()
    {
        var e = new HostEvent();
        e.Signal();
        e.Signal();
        e.Wait();
        var waiter = new Thread(e.Wait) { IsBackground = true };
        waiter.Start();
        Assert.False(waiter.Join(20));
        e.Signal();
        Assert.True(waiter.Join(20_000));
    }

    [Fact]
    public void No_wake_up_is_lost_between_two_threads()
    {
        const int Rounds = 20_000;
        var there = new HostEvent();
        var back = new HostEvent();
        int count = 0;
        int wrong = 0;
        var partner = new Thread(() =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                there.Wait();
                Volatile.Write(ref count, count + 1);
                back.Signal();
            }
        })
        { IsBackground = true };
        var self = new Thread(() =>
        {
            for (int i = 1; i <= Rounds; i++)
            {
                there.Signal();
                back.Wait();
                wrong += Volatile.Read(ref count) == i ? 0 : 1;
            }
        })
        { IsBackground = true };
        partner.Start();
        self.Start();
        Assert.True(self.Join(60_000));
        Assert.True(partner.Join(60_000));
        Assert.Equal(0, wrong);
    }
}

// Handlers that never wait run on the thread that signals; all else stays on the pool.
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;

namespace Sharpvisor.VMBus.Tests;

public sealed class SignallingThreadTests
{
    [Fact]
    public void A_guest_that_waits_for_each_answer_has_it_when_its_signal_returns()
    {
        using var bus = new TestBus();
        var device = new EchoDevice { RunsOnSignallingThread = true };
        using GuestChannel channel = bus.OpenEcho(device);
        WaitUntilOpened(device);
        int here = 0;
        device.OnThread = thread => here += thread == Environment.CurrentManagedThreadId ? 1 : 0;
        for (uint i = 1; i <= 20; i++)
        {
            Assert.True(channel.TrySendInBand(i, [1, 2, 3, 4, 5, 6, 7, 8]));
            Assert.Equal(8, channel.TryReceive(out ulong transaction));
            Assert.Equal(i, transaction);
        }

        Assert.Equal(20, here);
    }

    [Fact]
    public void A_signal_delivers_no_more_than_a_few_packets_here_and_the_pool_delivers_the_rest()
    {
        using var bus = new TestBus();
        var device = new EchoDevice { RunsOnSignallingThread = true };
        using GuestChannel channel = bus.OpenEcho(device);
        WaitUntilOpened(device);
        int test = Environment.CurrentManagedThreadId;
        int here = 0;
        int elsewhere = 0;
        device.OnThread = thread => _ = thread == test ? Interlocked.Increment(ref here) : Interlocked.Increment(ref elsewhere);
        for (uint i = 1; i <= 100; i++)
        {
            Assert.True(channel.Outbound.TryWrite(
                new PacketDescriptor { Type = PacketType.DataInBand, TransactionId = i }, default, [1, 2, 3, 4, 5, 6, 7, 8], out _));
        }

        channel.Signal();
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref here) + Volatile.Read(ref elsewhere) == 100, bus.Client.Timeout));
        Assert.InRange(here, 1, 4);
    }

    [Fact]
    public void A_close_waits_for_the_device_on_the_pool_and_not_on_the_thread_that_signals()
    {
        using var bus = new TestBus();
        using var release = new ManualResetEventSlim();
        var device = new EchoDevice { RunsOnSignallingThread = true, Closing = _ => release.Wait() };
        GuestChannel channel = bus.OpenEcho(device);
        WaitUntilOpened(device);
        bus.Client.Post(new RelidMessage { Header = Wire.Header(ChannelMessageType.CloseChannel), Relid = channel.Offer.Relid });
        channel.Signal();
        Assert.Equal(0, device.Closed);
        release.Set();
        bus.Client.TeardownGpadl(channel.Offer.Relid, channel.RingGpadl);
        Assert.Equal(1, device.Closed);
    }

    [Fact]
    public void A_round_trip_allocates_nothing()
    {
        using var bus = new TestBus();
        var device = new EchoDevice { RunsOnSignallingThread = true };
        using GuestChannel channel = bus.OpenEcho(device, sendPages: 33, receivePages: 33);
        WaitUntilOpened(device);
        byte[] small = new byte[64];
        byte[] large = new byte[65536];
        long allocated = 0;
        for (uint i = 1; i <= 2000; i++)
        {
            byte[] payload = (i & 1) == 0 ? small : large;
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.True(channel.TrySendInBand(i, payload));
            int bytes = channel.TryReceive(out _);
            long after = GC.GetAllocatedBytesForCurrentThread();
            Assert.Equal(payload.Length, bytes);
            allocated += i > 1000 ? after - before : 0;
        }

        Assert.Equal(0, allocated);
    }

    // Until then packets go to the pool.
    private static void WaitUntilOpened(EchoDevice device) =>
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref device.Opens) == 1 && device.Channel.IsIdle, TimeSpan.FromSeconds(20)));
}

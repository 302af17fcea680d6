// Traffic on an open channel: ordering, back-pressure, signal economy.
using System.Runtime.InteropServices;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;

namespace Sharpvisor.VMBus.Tests;

public sealed class FlowTests
{
    [Theory]
    [InlineData(false, 0u)]
    [InlineData(true, 4088u)]
    public void Thousands_of_packets_come_back_in_order(bool scattered, uint start)
    {
        using var bus = new TestBus();
        using GuestChannel channel = bus.OpenEcho(new EchoDevice(), 3, 3, scattered, c =>
        {
            c.Outbound.StartAt(start);
            c.Inbound.StartAt(start);
        });
        var random = new Random(1);
        ulong sent = 0;
        ulong received = 0;
        byte[] buffer = new byte[900];
        while (received < 20_000)
        {
            int length = random.Next(1, buffer.Length);
            MemoryMarshal.Write(buffer.AsSpan(0, 8), in length);
            if (sent < 20_000 && sent - received < 50 && channel.TrySendInBand(sent + 1, buffer.AsSpan(0, length)))
            {
                sent++;
                continue;
            }

            GuestPacket packet = channel.Receive(bus.Client.Timeout);
            Assert.Equal(++received, packet.Descriptor.TransactionId);
        }

        Assert.Equal(20_000, bus.Counter("vmbus.echo0.packets_in"));
        Assert.Equal(20_000, bus.Counter("vmbus.echo0.packets_out"));
        Assert.Equal(channel.Signals, bus.Counter("vmbus.echo0.signals"));
    }

    [Fact]
    public void Packets_written_while_the_worker_is_busy_cost_no_signal()
    {
        using var bus = new TestBus();
        using var entered = new ManualResetEventSlim();
        using var go = new ManualResetEventSlim();
        var device = new EchoDevice
        {
            Packet = (channel, packet) =>
            {
                entered.Set();
                go.Wait();
                return channel.TryWriteCompletion(packet.TransactionId, packet.Payload) == RingWriteStatus.Written;
            },
        };
        using GuestChannel channel = bus.OpenEcho(device);
        for (ulong i = 1; i <= 50; i++)
        {
            Assert.True(channel.TrySendInBand(i, new byte[64]));
            if (i == 1)
            {
                Assert.True(entered.Wait(bus.Client.Timeout, TestContext.Current.CancellationToken));
            }
        }

        Assert.Equal(1, channel.Signals);
        go.Set();
        Assert.True(channel.WaitInterrupt(bus.Client.Timeout));
        for (ulong i = 1; i <= 50; i++)
        {
            // One interrupt at the end of the batch, for all of it.
            Assert.Equal(i, channel.TryReceive()!.Descriptor.TransactionId);
        }

        Assert.Equal(1, channel.Interrupts);
        Assert.Equal(1, bus.Counter("vmbus.echo0.interrupts"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_writer_that_found_the_ring_full_goes_on_when_the_guest_made_room(bool guestSignals)
    {
        using var bus = new TestBus();
        const int Count = 500;
        int next = 0;
        void Write(VmbusChannel channel)
        {
            byte[] payload = new byte[200];
            while (next < Count && channel.TryWritePacket(PacketType.DataInBand, PacketFlags.None, (ulong)next + 1, payload) == RingWriteStatus.Written)
            {
                next++;
            }
        }

        var device = new EchoDevice
        {
            Writable = Write,
            Packet = (channel, _) =>
            {
                Write(channel);
                return true;
            },
        };
        using GuestChannel channel = bus.OpenEcho(device, 2, 2);
        if (!guestSignals)
        {
            channel.Outbound.Control(RingControl.FeatureBits) = 0;
            channel.Inbound.Control(RingControl.FeatureBits) = 0;
        }

        Assert.True(channel.TrySendInBand(0, new byte[8]));
        for (ulong i = 1; i <= Count; i++)
        {
            Assert.Equal(i, channel.Receive(bus.Client.Timeout).Descriptor.TransactionId);
        }

        Assert.True(bus.Counter("vmbus.echo0.ring_full") > 0);
    }

    [Fact]
    public void A_writer_that_waits_for_room_hears_of_the_close()
    {
        using var bus = new TestBus();
        var results = new List<RingWriteStatus>();
        void Write(VmbusChannel channel)
        {
            RingWriteStatus status;
            while ((status = channel.TryWritePacket(PacketType.DataInBand, PacketFlags.None, 0, new byte[200])) == RingWriteStatus.Written)
            {
            }

            results.Add(status);
        }

        var device = new EchoDevice
        {
            Writable = Write,
            Packet = (channel, _) =>
            {
                Write(channel);
                return true;
            },
        };
        GuestChannel channel = bus.OpenEcho(device, 2, 2);
        Assert.True(channel.TrySendInBand(0, new byte[8]));
        Assert.True(channel.WaitInterrupt(bus.Client.Timeout));
        bus.Client.Close(channel);
        Assert.Equal([RingWriteStatus.Full, RingWriteStatus.Closed], results);
    }

    [Fact]
    public void Completions_may_come_from_any_thread()
    {
        using var bus = new TestBus();
        var device = new EchoDevice
        {
            Packet = (channel, packet) =>
            {
                ThreadPool.QueueUserWorkItem(_ =>
                {
                    while (channel.TryWriteCompletion(packet.TransactionId, packet.Payload) == RingWriteStatus.Full)
                    {
                        Thread.Yield();
                    }
                });
                return true;
            },
        };
        using GuestChannel channel = bus.OpenEcho(device, 4, 4);
        var outstanding = new HashSet<ulong>();
        ulong sent = 0;
        while (sent < 5000 || outstanding.Count > 0)
        {
            if (sent < 5000 && outstanding.Count < 32 && channel.TrySendInBand(sent + 1, new byte[48]))
            {
                outstanding.Add(++sent);
                continue;
            }

            Assert.True(outstanding.Remove(channel.Receive(bus.Client.Timeout).Descriptor.TransactionId));
        }
    }

    [Fact]
    public void Taken_ranges_outlive_the_callback()
    {
        using var bus = new TestBus();
        var device = new TakingDevice();
        bus.Server.Offer(device);
        bus.Client.Connect();
        using GuestChannel? channel = bus.Client.Open(bus.Client.RequestOffers()[0]);
        ulong[] pfns = bus.Client.AllocatePages(4);
        for (uint i = 0; i < 4; i++)
        {
            Assert.True(channel!.TrySendGpaDirect(i + 1, new byte[8], 100 + i, i, pfns.AsSpan((int)i, 1)));
        }

        Assert.True(SpinWait.SpinUntil(() => device.Count == 4, bus.Client.Timeout));
        for (int i = 0; i < 4; i++)
        {
            Assert.Equal(100 + i, device.Taken[i].TotalBytes);
            Assert.Equal(pfns[i], device.Taken[i].Pfns[0]);
            device.Taken[i].Dispose();
        }
    }

    private sealed class TakingDevice : IVmbusDevice, IChannelHandler
    {
        public List<GpaRangeList> Taken { get; } = [];

        public int Count;

        public VmbusOffer Offer { get; } = new EchoDevice().Offer;

        public IChannelHandler Open(VmbusChannel channel, ReadOnlySpan<byte> userData) => this;

        public bool OnPacket(VmbusChannel channel, in IncomingPacket packet)
        {
            Taken.Add(packet.TakeRanges()!);
            Interlocked.Increment(ref Count);
            return true;
        }

        public void OnClosed(VmbusChannel channel)
        {
        }
    }
}

// Open, close, GPADLs, rescind, subchannels (drivers/hv/channel.c, channel_mgmt.c).
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;

namespace Sharpvisor.VMBus.Tests;

public sealed class ChannelTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_channel_opens_closes_and_opens_again_ten_times(bool scattered)
    {
        using var bus = new TestBus();
        var device = new EchoDevice();
        bus.Server.Offer(device);
        bus.Client.Connect();
        OfferChannelMessage offer = Assert.Single(bus.Client.RequestOffers());
        for (uint i = 1; i <= 10; i++)
        {
            GuestChannel? channel = bus.Client.Open(offer, scattered: scattered);
            Assert.NotNull(channel);
            byte[] payload = [.. Enumerable.Range(0, 64).Select(b => (byte)(b + i))];
            Assert.True(channel.TrySendInBand(i, payload));
            GuestPacket answer = channel.Receive(bus.Client.Timeout);
            Assert.Equal(PacketType.Completion, answer.Descriptor.Type);
            Assert.Equal(i, answer.Descriptor.TransactionId);
            Assert.Equal(payload, answer.Payload);
            bus.Client.Close(channel);
            Assert.Equal((int)i, device.Closed);
            Assert.Equal((int)i, device.Opens);
        }

        Assert.Equal(10, bus.Counter("vmbus.echo0.packets_in"));
        Assert.Equal(10, bus.Counter("vmbus.echo0.packets_out"));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(26)]
    [InlineData(27)]
    [InlineData(54)]
    [InlineData(55)]
    [InlineData(1000)]
    [InlineData(8000)]
    public void A_GPADL_of_any_length_is_put_together_from_its_messages(int pages)
    {
        using var bus = new TestBus();
        var device = new EchoDevice();
        using GuestChannel channel = bus.OpenEcho(device);
        ulong[] pfns = bus.Client.AllocatePages(pages);
        Assert.Equal(VmbusConstants.StatusSuccess, bus.Client.CreateGpadl(channel.Offer.Relid, pfns, out uint handle));
        Assert.True(device.Channel.TryGetGpadl(handle, out GpadlView? view));
        Assert.Equal(pages * 4096L, view!.Bytes);
        byte[] mark = [1, 2, 3, 4, 5, 6, 7, 8];
        Assert.True(view.TryWrite(4092, mark));
        byte[] read = new byte[8];
        Assert.True(bus.Memory.TryRead((pfns[0] << 12) + 4092, read));
        Assert.Equal(mark, read);
        Assert.False(view.TryWrite(view.Bytes - 4, mark));
        bus.Client.TeardownGpadl(channel.Offer.Relid, handle);
        Assert.False(device.Channel.TryGetGpadl(handle, out _));
    }

    [Fact]
    public void A_GPADL_for_an_unknown_channel_or_with_a_used_handle_is_refused()
    {
        using var bus = new TestBus();
        using GuestChannel channel = bus.OpenEcho(new EchoDevice());
        Assert.NotEqual(0u, bus.Client.CreateGpadl(99, bus.Client.AllocatePages(2), out _));
        foreach (byte[] message in VmbusClient.GpadlMessages(channel.Offer.Relid, channel.RingGpadl, bus.Client.AllocatePages(2)))
        {
            bus.Client.PostBytes(message);
        }

        Assert.NotEqual(0u, bus.Client.Expect<GpadlCreatedMessage>(ChannelMessageType.GpadlCreated).Status);
    }

    [Fact]
    public void GPADLs_are_limited_in_number_and_memory()
    {
        using var bus = new TestBus();
        using GuestChannel channel = bus.OpenEcho(new EchoDevice());
        ulong[] pfns = new ulong[8000];
        int accepted = 0;
        while (bus.Client.CreateGpadl(channel.Offer.Relid, pfns, out _) == VmbusConstants.StatusSuccess)
        {
            accepted++;
        }

        Assert.InRange(accepted, 64, (VmbusServerState.MaxGpadlBytes / (8000 * 8)) + 1);
    }

    [Fact]
    public void The_open_rings_GPADL_cannot_be_torn_down()
    {
        using var bus = new TestBus();
        using GuestChannel channel = bus.OpenEcho(new EchoDevice());
        bus.Client.Post(new GpadlTeardownMessage
        {
            Header = Wire.Header(ChannelMessageType.GpadlTeardown),
            Relid = channel.Offer.Relid,
            Gpadl = channel.RingGpadl,
        });
        Assert.Equal(0, bus.Synic.Queued);
        bus.Client.Close(channel);
    }

    [Fact]
    public void The_guest_gets_its_ring_back_only_after_the_device_let_go()
    {
        using var bus = new TestBus();
        var device = new EchoDevice();
        GuestChannel channel = bus.OpenEcho(device);
        using var letGo = new ManualResetEventSlim();
        device.Closing = _ => letGo.Wait();
        bus.Client.Post(new RelidMessage { Header = Wire.Header(ChannelMessageType.CloseChannel), Relid = channel.Offer.Relid });
        bus.Client.Post(new GpadlTeardownMessage
        {
            Header = Wire.Header(ChannelMessageType.GpadlTeardown),
            Relid = channel.Offer.Relid,
            Gpadl = channel.RingGpadl,
        });
        Assert.Equal(0, bus.Synic.Queued);
        Assert.Equal(RingWriteStatus.Closed, device.Channel.TryWriteCompletion(1, new byte[8]));
        letGo.Set();
        Assert.Equal(channel.RingGpadl, bus.Client.Expect<GpadlTorndownMessage>(ChannelMessageType.GpadlTorndown).Gpadl);
        channel.Dispose();
    }

    [Fact]
    public void A_device_may_refuse_an_open()
    {
        using var bus = new TestBus();
        var device = new EchoDevice { Refuse = true };
        bus.Server.Offer(device);
        bus.Client.Connect();
        OfferChannelMessage offer = Assert.Single(bus.Client.RequestOffers());
        Assert.Null(bus.Client.Open(offer));
        device.Refuse = false;
        using GuestChannel? channel = bus.Client.Open(offer);
        Assert.NotNull(channel);
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(1u)]
    [InlineData(31u)]
    [InlineData(32u)]
    [InlineData(uint.MaxValue)]
    public void Opens_with_rings_that_do_not_fit_are_refused(uint downstream)
    {
        using var bus = new TestBus();
        bus.Server.Offer(new EchoDevice());
        bus.Client.Connect();
        OfferChannelMessage offer = Assert.Single(bus.Client.RequestOffers());
        bus.Client.CreateGpadl(offer.Relid, bus.Client.AllocatePages(32), out uint gpadl);
        bus.Client.Post(new OpenChannelMessage
        {
            Header = Wire.Header(ChannelMessageType.OpenChannel),
            Relid = offer.Relid,
            OpenId = 77,
            RingGpadl = gpadl,
            DownstreamPageOffset = downstream,
        });
        OpenResultMessage result = bus.Client.Expect<OpenResultMessage>(ChannelMessageType.OpenChannelResult);
        Assert.Equal(77u, result.OpenId);
        Assert.NotEqual(0u, result.Status);
    }

    [Fact]
    public void An_open_with_a_ring_outside_of_memory_is_refused()
    {
        using var bus = new TestBus();
        bus.Server.Offer(new EchoDevice());
        bus.Client.Connect();
        OfferChannelMessage offer = Assert.Single(bus.Client.RequestOffers());
        ulong[] pfns = [0x100, 0x101, ulong.MaxValue, 0x103];
        bus.Client.CreateGpadl(offer.Relid, pfns, out uint gpadl);
        bus.Client.Post(new OpenChannelMessage
        {
            Header = Wire.Header(ChannelMessageType.OpenChannel),
            Relid = offer.Relid,
            RingGpadl = gpadl,
            DownstreamPageOffset = 2,
        });
        Assert.NotEqual(0u, bus.Client.Expect<OpenResultMessage>(ChannelMessageType.OpenChannelResult).Status);
    }

    [Fact]
    public void Rescind_closes_the_channel_and_the_device_is_offered_anew_when_the_guest_released_the_old_relid()
    {
        using var bus = new TestBus();
        var device = new EchoDevice();
        using GuestChannel channel = bus.OpenEcho(device);
        bus.Server.Rescind(device);
        Assert.Equal(channel.Offer.Relid, bus.Client.Expect<RelidMessage>(ChannelMessageType.RescindChannelOffer).Relid);
        Assert.Equal(1, device.Closed);

        var other = new EchoDevice(2);
        bus.Server.Offer(device);
        bus.Server.Offer(other);
        Assert.Equal(other.Offer.InstanceId, bus.Client.Expect<OfferChannelMessage>(ChannelMessageType.OfferChannel).InstanceId);

        bus.Client.Post(new RelidMessage { Header = Wire.Header(ChannelMessageType.RelidReleased), Relid = channel.Offer.Relid });
        OfferChannelMessage second = bus.Client.Expect<OfferChannelMessage>(ChannelMessageType.OfferChannel);
        Assert.Equal((device.Offer.InstanceId, channel.Offer.Relid), (second.InstanceId, second.Relid));
        bus.Server.Rescind(device);
        Assert.Equal(second.Relid, bus.Client.Expect<RelidMessage>(ChannelMessageType.RescindChannelOffer).Relid);
    }

    [Fact]
    public void Subchannels_are_offered_opened_and_rescinded_with_their_primary()
    {
        using var bus = new TestBus();
        var device = new EchoDevice(maxSubchannels: 3);
        GuestChannel primary = bus.OpenEcho(device);
        VmbusChannel channel = device.Channel;
        Assert.False(channel.OfferSubchannels(4));
        Assert.True(channel.OfferSubchannels(3));
        Assert.True(channel.OfferSubchannels(3));
        var subchannels = new List<GuestChannel>();
        for (ushort i = 1; i <= 3; i++)
        {
            OfferChannelMessage offer = bus.Client.Expect<OfferChannelMessage>(ChannelMessageType.OfferChannel);
            Assert.Equal(i, offer.SubchannelIndex);
            Assert.Equal(primary.Offer.InstanceId, offer.InstanceId);
            GuestChannel? subchannel = bus.Client.Open(offer, targetVp: i);
            Assert.NotNull(subchannel);
            Assert.True(subchannel.TrySendInBand(i, new byte[16]));
            Assert.Equal(i, subchannel.Receive(bus.Client.Timeout).Descriptor.TransactionId);
            Assert.Equal(i, subchannel.LastVp);
            subchannels.Add(subchannel);
        }

        Assert.Equal(0, bus.Synic.Queued);
        foreach (GuestChannel subchannel in subchannels)
        {
            bus.Client.Close(subchannel);
        }

        bus.Client.Close(primary);
        var rescinded = new HashSet<uint>();
        for (int i = 0; i < 3; i++)
        {
            uint relid = bus.Client.Expect<RelidMessage>(ChannelMessageType.RescindChannelOffer).Relid;
            rescinded.Add(relid);
            bus.Client.Post(new RelidMessage { Header = Wire.Header(ChannelMessageType.RelidReleased), Relid = relid });
        }

        Assert.Equal(subchannels.Select(s => s.Offer.Relid).ToHashSet(), rescinded);
        using GuestChannel? again = bus.Client.Open(primary.Offer);
        Assert.NotNull(again);
        Assert.True(device.Channel.OfferSubchannels(1));
        Assert.Equal(1, bus.Client.Expect<OfferChannelMessage>(ChannelMessageType.OfferChannel).SubchannelIndex);
    }

    [Theory]
    [InlineData(VmbusVersion.V4_0, false)]
    [InlineData(VmbusVersion.V5_2, false)]
    [InlineData(VmbusVersion.V5_3, true)]
    public void Modify_channel_moves_interrupts_and_answers_from_5_3_on(uint version, bool answers)
    {
        using var bus = new TestBus(maxVersion: version);
        using GuestChannel channel = bus.OpenEcho(new EchoDevice());
        bus.Client.Post(new ModifyChannelMessage { Header = Wire.Header(ChannelMessageType.ModifyChannel), Relid = channel.Offer.Relid, TargetVp = 2 });
        if (answers)
        {
            Assert.Equal(0u, bus.Client.Expect<ModifyChannelResponseMessage>(ChannelMessageType.ModifyChannelResponse).Status);
        }

        Assert.Equal(0, bus.Synic.Queued);
        channel.TrySendInBand(1, new byte[8]);
        channel.Receive(bus.Client.Timeout);
        Assert.Equal(version >= VmbusVersion.V4_1 ? 2u : 0u, channel.LastVp);
    }

    [Fact]
    public void Modify_of_an_unknown_channel_is_answered_with_a_failure()
    {
        using var bus = new TestBus();
        bus.Client.Connect();
        bus.Client.Post(new ModifyChannelMessage { Header = Wire.Header(ChannelMessageType.ModifyChannel), Relid = 5, TargetVp = 2 });
        Assert.NotEqual(0u, bus.Client.Expect<ModifyChannelResponseMessage>(ChannelMessageType.ModifyChannelResponse).Status);
    }

    [Fact]
    public void A_GPA_direct_packet_carries_its_ranges()
    {
        using var bus = new TestBus();
        var device = new EchoDevice();
        IncomingPacketCopy? seen = null;
        device.Packet = (channel, packet) =>
        {
            seen = packet;
            return channel.TryWriteCompletion(packet.TransactionId, packet.Payload) == RingWriteStatus.Written;
        };
        using GuestChannel channel = bus.OpenEcho(device);
        ulong[] pfns = bus.Client.AllocatePages(3, scattered: true);
        Assert.True(channel.TrySendGpaDirect(42, new byte[56], 8192, 512, pfns));
        Assert.Equal(42ul, channel.Receive(bus.Client.Timeout).Descriptor.TransactionId);
        Assert.Equal(PacketType.DataUsingGpaDirect, seen!.Type);
        Assert.Equal(56, seen.Payload.Length);
        Assert.Equal(pfns, seen.Pfns);
        Assert.Equal(new GpaRange(8192, 512, 0, 3), Assert.Single(seen.Ranges));
    }

    [Fact]
    public void A_packet_refused_for_now_is_delivered_again_on_resume()
    {
        using var bus = new TestBus();
        int deliveries = 0;
        var device = new EchoDevice
        {
            Packet = (channel, packet) =>
                ++deliveries > 1 && channel.TryWriteCompletion(packet.TransactionId, packet.Payload) == RingWriteStatus.Written,
        };
        using GuestChannel channel = bus.OpenEcho(device);
        channel.TrySendInBand(9, new byte[8]);
        SpinWait.SpinUntil(() => Volatile.Read(ref deliveries) == 1, bus.Client.Timeout);
        device.Channel.Resume();
        Assert.Equal(9ul, channel.Receive(bus.Client.Timeout).Descriptor.TransactionId);
        Assert.Equal(2, deliveries);
    }

    [Fact]
    public void A_paused_bus_delivers_nothing_until_resumed()
    {
        using var bus = new TestBus();
        using GuestChannel channel = bus.OpenEcho(new EchoDevice());
        bus.Server.Pause();
        channel.TrySendInBand(3, new byte[8]);
        Assert.Equal(0, bus.Counter("vmbus.echo0.packets_in"));
        bus.Server.Resume();
        Assert.Equal(3ul, channel.Receive(bus.Client.Timeout).Descriptor.TransactionId);
    }

    [Fact]
    public void A_handler_that_throws_costs_its_channel_only()
    {
        using var bus = new TestBus();
        var device = new EchoDevice { Packet = (_, _) => throw new InvalidOperationException("bug") };
        GuestChannel channel = bus.OpenEcho(device);
        channel.TrySendInBand(3, new byte[8]);
        Assert.True(SpinWait.SpinUntil(() => bus.Counter("vmbus.echo0.faults") == 1, bus.Client.Timeout));
        bus.Client.Close(channel);
        device.Packet = null;
        using GuestChannel? again = bus.Client.Open(channel.Offer);
        Assert.True(again!.TrySendInBand(4, new byte[8]));
        Assert.Equal(4ul, again.Receive(bus.Client.Timeout).Descriptor.TransactionId);
    }
}

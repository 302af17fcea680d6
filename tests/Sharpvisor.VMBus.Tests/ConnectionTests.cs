// Contact, version negotiation, offers, unload (drivers/hv/connection.c).
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;

namespace Sharpvisor.VMBus.Tests;

public sealed class ConnectionTests
{
    [Theory]
    [InlineData(VmbusVersion.V2_4, 1u, VmbusVersion.V2_4)]
    [InlineData(VmbusVersion.V3_0, 1u, VmbusVersion.V3_0)]
    [InlineData(VmbusVersion.V4_0, 1u, VmbusVersion.V4_0)]
    [InlineData(VmbusVersion.V4_1, 1u, VmbusVersion.V4_1)]
    [InlineData(VmbusVersion.V5_0, 4u, 4u)]
    [InlineData(VmbusVersion.V5_1, 4u, 4u)]
    [InlineData(VmbusVersion.V5_2, 4u, 4u)]
    [InlineData(VmbusVersion.V5_3, 4u, 4u)]
    public void Each_version_is_accepted_with_its_connection_id(uint version, uint connectionId, uint value)
    {
        using var bus = new TestBus();
        VersionResponseMessage response = bus.Client.Contact(version);
        Assert.Equal(1, response.VersionSupported);
        Assert.Equal(0, response.ConnectionState);
        Assert.Equal(value, response.VersionOrConnectionId);
        Assert.Equal(connectionId, bus.Client.ConnectionId);
        Assert.Equal(version, bus.Server.NegotiatedVersion);
    }

    [Theory]
    [InlineData(0x0_000Du)]
    [InlineData(0x1_0001u)]
    [InlineData(0x5_0004u)]
    [InlineData(0x6_0000u)]
    [InlineData(0u)]
    [InlineData(uint.MaxValue)]
    public void Unknown_versions_are_refused(uint version)
    {
        using var bus = new TestBus();
        // A guest that asks for a version from 5.0 on gives a target; a VTL other than 0 is not ours to answer.
        VersionResponseMessage response = bus.Client.Contact(version);
        Assert.Equal(0, response.VersionSupported);
        Assert.Equal(0u, bus.Server.NegotiatedVersion);
    }

    [Fact]
    public void The_guest_steps_down_to_the_newest_common_version()
    {
        using var bus = new TestBus(maxVersion: VmbusVersion.V4_1);
        Assert.True(bus.Client.Connect());
        Assert.Equal(VmbusVersion.V4_1, bus.Server.NegotiatedVersion);
    }

    [Fact]
    public void Messages_go_to_the_VP_that_made_contact()
    {
        using var bus = new TestBus();
        bus.Client.Contact(VmbusVersion.V5_3, targetVp: 3);
        bus.Client.Post(Wire.Header(ChannelMessageType.RequestOffers));
        Assert.True(bus.Synic.TryTakeMessage(out GuestMessage? message, bus.Client.Timeout));
        Assert.Equal(3u, message!.VpIndex);
        Assert.Equal(VmbusConstants.Sint, message.Sint);
    }

    [Fact]
    public void A_single_monitor_page_fails_the_connection()
    {
        using var bus = new TestBus();
        VersionResponseMessage response = bus.Client.Contact(VmbusVersion.V5_3, monitor1: 0x1000, monitor2: 0);
        Assert.Equal(1, response.VersionSupported);
        Assert.NotEqual(0, response.ConnectionState);
        Assert.Equal(0u, bus.Server.NegotiatedVersion);
    }

    [Fact]
    public void Contact_for_another_SINT_is_refused_there()
    {
        using var bus = new TestBus();
        VersionResponseMessage response = bus.Client.Contact(VmbusVersion.V5_3, target: 5);
        Assert.Equal(0, response.VersionSupported);
    }

    [Fact]
    public void Offers_describe_the_devices_and_end_with_all_delivered()
    {
        using var bus = new TestBus();
        var first = new EchoDevice(1);
        var second = new EchoDevice(2);
        Assert.True(bus.Server.Offer(first));
        Assert.True(bus.Server.Offer(second));
        Assert.False(bus.Server.Offer(new EchoDevice(2)));
        Assert.True(bus.Client.Connect());
        IReadOnlyList<OfferChannelMessage> offers = bus.Client.RequestOffers();
        Assert.Equal(2, offers.Count);
        Assert.Equal(first.Offer.InstanceId, offers[0].InstanceId);
        Assert.Equal(EchoDevice.Interface, offers[1].InterfaceId);
        Assert.Equal(7, offers[0].MmioMegabytes);
        UserData120 userData = offers[0].UserData;
        Assert.Equal([1, 2, 3, 1], ((ReadOnlySpan<byte>)userData)[..4].ToArray());
        Assert.Equal(1, offers[0].IsDedicatedInterrupt);
        Assert.Equal(0, offers[0].MonitorAllocated);
        Assert.NotEqual(offers[0].Relid, offers[1].Relid);
        Assert.NotEqual(offers[0].ConnectionId, offers[1].ConnectionId);
        Assert.NotEqual(0u, offers[0].Relid);
    }

    [Fact]
    public void Offers_are_sent_once_per_connection()
    {
        using var bus = new TestBus();
        bus.Server.Offer(new EchoDevice());
        bus.Client.Connect();
        Assert.Single(bus.Client.RequestOffers());
        bus.Client.Post(Wire.Header(ChannelMessageType.RequestOffers));
        Assert.Equal(0, bus.Synic.Queued);
    }

    [Fact]
    public void A_device_offered_to_a_connected_guest_appears_at_once()
    {
        using var bus = new TestBus();
        bus.Client.Connect();
        Assert.Empty(bus.Client.RequestOffers());
        bus.Server.Offer(new EchoDevice());
        OfferChannelMessage offer = bus.Client.Expect<OfferChannelMessage>(ChannelMessageType.OfferChannel);
        using GuestChannel? channel = bus.Client.Open(offer);
        Assert.NotNull(channel);
    }

    [Fact]
    public void Unload_closes_channels_and_the_next_contact_starts_afresh()
    {
        using var bus = new TestBus();
        var device = new EchoDevice();
        bus.Server.Offer(device);
        for (int i = 0; i < 10; i++)
        {
            Assert.True(bus.Client.Connect());
            OfferChannelMessage offer = Assert.Single(bus.Client.RequestOffers());
            using GuestChannel? channel = bus.Client.Open(offer);
            Assert.NotNull(channel);
            Assert.True(channel.TrySendInBand(7, new byte[32]));
            Assert.Equal(7ul, channel.Receive(bus.Client.Timeout).Descriptor.TransactionId);
            bus.Client.Unload();
            Assert.Equal(i + 1, device.Closed);
            Assert.Equal(0, bus.Synic.EventPortCount);
        }
    }

    [Fact]
    public void A_second_contact_without_unload_closes_everything_first()
    {
        using var bus = new TestBus();
        var device = new EchoDevice();
        using GuestChannel channel = bus.OpenEcho(device);
        device.Closing = _ => Thread.Sleep(20);
        Assert.Equal(1, bus.Client.Contact(VmbusVersion.V4_0).VersionSupported);
        Assert.Equal(1, device.Closed);
        Assert.Equal(VmbusVersion.V4_0, bus.Server.NegotiatedVersion);
        OfferChannelMessage offer = Assert.Single(bus.Client.RequestOffers());
        using GuestChannel? again = bus.Client.Open(offer);
        Assert.NotNull(again);
    }

    [Fact]
    public void Reset_forgets_the_guest_and_keeps_the_offers()
    {
        using var bus = new TestBus();
        var device = new EchoDevice();
        using GuestChannel channel = bus.OpenEcho(device);
        bus.Server.Reset();
        Assert.Equal(1, device.Closed);
        Assert.Equal(0u, bus.Server.NegotiatedVersion);
        Assert.True(bus.Client.Connect());
        Assert.Single(bus.Client.RequestOffers());
    }

    [Fact]
    public void Answers_wait_when_the_guest_takes_no_messages()
    {
        using var bus = new TestBus();
        for (int i = 0; i < 20; i++)
        {
            bus.Server.Offer(new EchoDevice(i));
        }

        bus.Client.Connect();
        bus.Synic.QueueLimit = 1;
        Assert.Equal(20, bus.Client.RequestOffers().Count);
    }

    [Fact]
    public void A_guest_that_takes_no_messages_is_told_to_try_again()
    {
        using var bus = new TestBus();
        bus.Client.Connect();
        bus.Synic.QueueLimit = 0;
        byte[] message = Wire.ToBytes(new TlConnectRequestMessage { Header = Wire.Header(ChannelMessageType.TlConnectRequest) });
        int accepted = 0;
        while (bus.Synic.GuestPostMessage(4, VmbusConstants.MessageType, message) == LoopbackSynic.HvStatusSuccess)
        {
            Assert.True(++accepted < 10_000);
        }

        bus.Synic.QueueLimit = int.MaxValue;
        for (int i = 0; i < accepted; i++)
        {
            Assert.Equal(VmbusConstants.StatusConnectionRefused, bus.Client.Expect<TlConnectResultMessage>(ChannelMessageType.TlConnectResult).Status);
        }
    }
}

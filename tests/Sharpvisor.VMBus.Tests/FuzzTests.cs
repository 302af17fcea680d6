// A guest that writes garbage: seeded, bounded. Nothing may throw, hang or stop the next guest from connecting.
using System.Runtime.InteropServices;
using Sharpvisor.Core;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;

namespace Sharpvisor.VMBus.Tests;

public sealed class FuzzTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Random_messages_never_upset_the_bus(int seed)
    {
        using var bus = new TestBus();
        var device = new EchoDevice(0, maxSubchannels: 4);
        device.Packet = (channel, packet) =>
        {
            channel.OfferSubchannels((int)(packet.TransactionId % 6));
            return true;
        };
        bus.Server.Offer(device);
        bus.Server.Offer(new EchoDevice(1));
        var random = new Random(seed);

        // On a busy host the workers get less of it, and more messages fall into the time while channels close: go on until it got somewhere.
        for (int i = 0; i < 8000 || (device.Opens <= 10 && i < 400_000); i++)
        {
            byte[] message = RandomMessage(random);
            bus.Synic.GuestPostMessage(random.Next(2) == 0 ? 1u : 4u, random.Next(50) == 0 ? 7u : 1u, message);
            bus.Synic.GuestSignalEvent(VmbusConstants.EventConnectionId((uint)random.Next(1, 5)));
            if (i % 16 == 0)
            {
                // The workers have to get at it too: while channels close, messages are dropped unread.
                Thread.Sleep(1);
            }

            while (bus.Synic.Queued > 0)
            {
                bus.Synic.TryTakeMessage(out _, TimeSpan.Zero);
            }
        }

        // The garbage is plausible enough to get somewhere.
        Assert.True(device.Opens > 10, $"{device.Opens} opens, {string.Join(' ', device.Opened.Count, bus.Counter("vmbus.messages_in"), bus.Counter("vmbus.messages_out"), bus.Counter("vmbus.messages_dropped"))}");
        AssertUsable(bus);
    }

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    public void Random_rings_never_upset_the_worker(int seed)
    {
        using var bus = new TestBus();
        var device = new EchoDevice();
        GuestChannel channel = bus.OpenEcho(device, 3, 3);
        OfferChannelMessage offer = channel.Offer;
        var random = new Random(seed);
        for (int round = 0; round < 60; round++)
        {
            for (int i = 0; i < 50; i++)
            {
                Disturb(channel, random);
                channel.Signal();
                if (i % 10 == 0)
                {
                    Thread.Sleep(1);
                }
            }

            bus.Client.Close(channel);
            channel = bus.Client.Open(offer, 3, 3)!;
            Assert.NotNull(channel);
        }

        channel.Dispose();
        Assert.True(bus.Counter("vmbus.echo0.faults") > 0);
        Assert.True(bus.Counter("vmbus.echo0.packets_in") > 0);
        AssertUsable(bus);
    }

    [Theory]
    [InlineData(21)]
    [InlineData(22)]
    public void Random_packets_are_parsed_or_refused(int seed)
    {
        var random = new Random(seed);
        var ranges = new GpaRangeList();
        using var memory = new GuestMemory(1 << 20);
        for (int i = 0; i < 100_000; i++)
        {
            byte[] body = new byte[random.Next(0, 40) * 8];
            random.NextBytes(body);
            if (random.Next(2) == 0)
            {
                // Plausible range counts and lengths.
                foreach (ref uint word in MemoryMarshal.Cast<byte, uint>(body.AsSpan()))
                {
                    word &= (uint)random.Next(1, 0x3FFF);
                }
            }

            var descriptor = new PacketDescriptor
            {
                Type = (PacketType)random.Next(0, 15),
                Offset8 = (ushort)random.Next(0, 44),
                Length8 = (ushort)((body.Length / 8) + 2),
            };
            if (PacketParser.TryParse(descriptor, body, ranges, null, out IncomingPacket packet))
            {
                Assert.True(packet.Payload.Length <= body.Length);
                packet.Ranges?.TryRead(memory, 0, new byte[16]);
            }
        }
    }

    private static void Disturb(GuestChannel channel, Random random)
    {
        GuestRing ring = random.Next(3) == 0 ? channel.Inbound : channel.Outbound;
        switch (random.Next(4))
        {
            case 0:
                ring.Control(random.Next(0, 17)) = (uint)random.Next(0, 9000);
                break;
            case 1:
                ring.Control(random.Next(0, 4)) = (uint)random.Next();
                break;
            case 2:
                ring.Control(RingControl.WriteIndex) = (uint)random.Next(0, 8192) & ~7u;
                break;
            default:
                ring.Control(RingControl.WriteIndex) &= 8191 & ~7u;
                byte[] packet = new byte[random.Next(4, 100) * 8];
                random.NextBytes(packet);
                packet[0] = (byte)random.Next(0, 14);
                packet[1] = 0;
                packet[2] = (byte)random.Next(0, 8);
                packet[3] = 0;
                packet[4] = (byte)((packet.Length / 8) - random.Next(0, 3));
                packet[5] = 0;
                packet[6] &= 1;
                packet[7] = 0;
                channel.Outbound.Control(RingControl.WriteIndex) &= 8191 & ~7u;
                channel.Outbound.WriteRaw(packet, out _);
                break;
        }
    }

    private static byte[] RandomMessage(Random random) => random.Next(2) == 0 ? Plausible(random) : Garbage(random);

    /// <summary>What a driver could say, at the wrong time and about the wrong channel.</summary>
    private static byte[] Plausible(Random random)
    {
        uint relid = (uint)random.Next(1, 4);
        uint handle = relid + (uint)(random.Next(4) == 0 ? 1 : 0);
        switch (random.Next(12))
        {
            case 0:
            case 1:
                return Wire.ToBytes(Wire.Header(ChannelMessageType.RequestOffers));
            case 2:
            case 3:
            case 4:
                return VmbusClient.GpadlMessages(relid, handle, [4096, 4097, 4098, 4099, 4100, 4101])[0];
            case 5:
            case 6:
            case 7:
                return Wire.ToBytes(new OpenChannelMessage
                {
                    Header = Wire.Header(ChannelMessageType.OpenChannel),
                    Relid = relid,
                    RingGpadl = handle,
                    DownstreamPageOffset = 3,
                });
            case 8:
                var type = random.Next(8) == 0 ? ChannelMessageType.RelidReleased : ChannelMessageType.CloseChannel;
                return Wire.ToBytes(new RelidMessage { Header = Wire.Header(type), Relid = relid });
            case 9:
                return Wire.ToBytes(new GpadlTeardownMessage { Header = Wire.Header(ChannelMessageType.GpadlTeardown), Relid = relid, Gpadl = handle });
            case 10:
                return Wire.ToBytes(new ModifyChannelMessage { Header = Wire.Header(ChannelMessageType.ModifyChannel), Relid = relid, TargetVp = 1 });
            default:
                return random.Next(10) != 0
                    ? Wire.ToBytes(Wire.Header(ChannelMessageType.RequestOffers))
                    : Wire.ToBytes(new InitiateContactMessage
                    {
                        Header = Wire.Header(ChannelMessageType.InitiateContact),
                        Version = VmbusVersion.All[random.Next(VmbusVersion.All.Length)],
                        InterruptPageOrTarget = VmbusConstants.Sint,
                    });
        }
    }

    private static byte[] Garbage(Random random)
    {
        byte[] message = new byte[random.Next(0, 241)];
        random.NextBytes(message);
        Span<uint> words = MemoryMarshal.Cast<byte, uint>(message.AsSpan());
        if (words.Length == 0)
        {
            return message;
        }

        words[0] = (uint)random.Next(0, 27);
        if (random.Next(4) != 0)
        {
            // Small numbers hit existing relids, handles and lengths.
            foreach (ref uint word in words[1..])
            {
                word = (uint)random.Next(0, 9);
            }
        }

        // Contacts and unloads are rare, or nothing else ever happens between them.
        if (words[0] is (uint)ChannelMessageType.InitiateContact or (uint)ChannelMessageType.Unload && random.Next(20) != 0)
        {
            words[0] = (uint)ChannelMessageType.GpadlBody;
        }

        return message;
    }

    private static void AssertUsable(TestBus bus)
    {
        bus.Server.Reset();
        bus.Synic.DiscardMessages(VmbusConstants.Sint);
        var client = new VmbusClient(bus.Memory, bus.Synic, TestBus.HeapGpa, TestBus.HeapBytes);
        Assert.True(client.Connect());
        bus.Server.Offer(new EchoDevice(77));
        OfferChannelMessage offer = client.RequestOffers()[^1];
        using GuestChannel? channel = client.Open(offer);
        Assert.NotNull(channel);
        Assert.True(channel.TrySendInBand(5, new byte[8]));
        Assert.Equal(5ul, channel.Receive(client.Timeout).Descriptor.TransactionId);
    }
}

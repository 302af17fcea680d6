// One synthetic device on a bus of its own, and a C# guest to open it.
using System.Globalization;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

internal sealed class DeviceBus : IDisposable
{
    private readonly VmbusServer _server;
    private readonly VmbusClient _client;
    private readonly OfferChannelMessage _offer;

    public DeviceBus(IVmbusDevice device, GuestMemory? memory = null)
    {
        Memory = memory ?? new GuestMemory(16 << 20);
        var synic = new LoopbackSynic();
        _server = new VmbusServer(Memory, synic, new Statistics());
        _client = new VmbusClient(Memory, synic, 4 << 20, 8 << 20);
        Assert.True(_server.Offer(device));
        Assert.True(_client.Connect());
        _offer = Assert.Single(_client.RequestOffers());
    }

    public GuestMemory Memory { get; }

    public OfferChannelMessage Offer => _offer;

    public GuestChannel Open(int ringPages = 5)
    {
        GuestChannel? channel = _client.Open(_offer, ringPages, ringPages);
        Assert.NotNull(channel);
        return channel;
    }

    public void Close(GuestChannel channel) => _client.Close(channel);

    public static void Until(Func<bool> condition) => Assert.True(SpinWait.SpinUntil(condition, TimeSpan.FromSeconds(20)));

    /// <summary>Random packets, now and then a read: the host neither throws nor stops reading. SHARPVISOR_FUZZ_SECONDS makes it longer.</summary>
    public static void Fuzz(GuestChannel channel, Random random, int packets, Func<Random, byte[]> create)
    {
        _ = int.TryParse(Environment.GetEnvironmentVariable("SHARPVISOR_FUZZ_SECONDS"), CultureInfo.InvariantCulture, out int seconds);
        long end = Environment.TickCount64 + (seconds * 1000L);
        for (int i = 0; i < packets || Environment.TickCount64 < end; i++)
        {
            var type = random.Next(20) == 0 ? (PacketType)random.Next(14) : PacketType.DataInBand;
            byte[] packet = create(random);
            while (type is PacketType.DataInBand or PacketType.Completion && !channel.TrySend(type, (PacketFlags)random.Next(2), (ulong)i, packet))
            {
                Thread.Yield();
            }

            if (random.Next(3) != 0)
            {
                _ = channel.TryReceive();
            }
        }

        while (channel.TryReceive() is not null || channel.Outbound.FreeBytes < channel.Outbound.DataBytes)
        {
            Thread.Yield();
        }
    }

    public void Dispose()
    {
        _server.Dispose();
        Memory.Dispose();
    }
}

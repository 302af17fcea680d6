// A VM's worth of VMBus in one process: guest memory, loopback SynIC, server, client.
using Sharpvisor.Core;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;

namespace Sharpvisor.VMBus.Tests;

internal sealed class TestBus : IDisposable
{
    public const ulong HeapGpa = 16 << 20;
    public const ulong HeapBytes = 40 << 20;

    public TestBus(ITraceSink? trace = null, uint maxVersion = VmbusVersion.V5_3)
    {
        Server = new VmbusServer(Memory, Synic, Statistics, trace, maxVersion);
        Client = new VmbusClient(Memory, Synic, HeapGpa, HeapBytes);
    }

    public GuestMemory Memory { get; } = new(64 << 20);

    public LoopbackSynic Synic { get; } = new();

    public Statistics Statistics { get; } = new();

    public VmbusServer Server { get; }

    public VmbusClient Client { get; }

    /// <summary>Offers a device, connects, and opens its channel.</summary>
    public GuestChannel OpenEcho(EchoDevice device, int sendPages = 16, int receivePages = 16, bool scattered = false, Action<GuestChannel>? prepare = null)
    {
        Assert.True(Server.Offer(device));
        Assert.True(Client.Connect());
        OfferChannelMessage offer = Assert.Single(Client.RequestOffers());
        GuestChannel? channel = Client.Open(offer, sendPages, receivePages, scattered: scattered, prepare: prepare);
        Assert.NotNull(channel);
        return channel;
    }

    public long Counter(string name) => Statistics[name].Value;

    public void Dispose()
    {
        Server.Dispose();
        Memory.Dispose();
    }
}

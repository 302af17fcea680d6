// An integration service on a bus of its own, with the C# guest end of it.
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Integration;
using Sharpvisor.Vsp.Integration;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

internal sealed class IcBus<T> : IDisposable
    where T : IntegrationService
{
    private readonly GuestMemory _memory = new(16 << 20);

    public IcBus(T vsp)
    {
        Vsp = vsp;
        var synic = new LoopbackSynic();
        Server = new VmbusServer(_memory, synic, new Statistics());
        Client = new VmbusClient(_memory, synic, 4 << 20, 8 << 20);
        Assert.True(Server.Offer(vsp));
        Assert.True(Client.Connect());
        Offer = Assert.Single(Client.RequestOffers());
    }

    public VmbusServer Server { get; }

    public VmbusClient Client { get; }

    public T Vsp { get; }

    public OfferChannelMessage Offer { get; }

    public IcVsc Open()
    {
        // hv_util.c's ring sizes.
        GuestChannel? channel = Client.Open(Offer, 4, 4);
        Assert.NotNull(channel);
        return new IcVsc(channel);
    }

    public async Task<IcVsc> OpenAsync(ushort major, ushort minor)
    {
        IcVsc guest = Open();
        Assert.True(guest.Negotiate((major, minor)));
        await Vsp.WaitUntilRunningAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(20));
        return guest;
    }

    public void Dispose()
    {
        Server.Dispose();
        Vsp.Dispose();
        _memory.Dispose();
    }
}

// A storage VSP on a bus of its own, with the C# guest driver on the other end.
using Sharpvisor.Core;
using Sharpvisor.Storage;
using Sharpvisor.Storage.Scsi;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Storage;
using Sharpvisor.Vsp.Storage;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

internal sealed class StorBus : IDisposable
{
    public static readonly (byte Path, byte Target, byte Lun) Lun0 = (0, 0, 0);

    private readonly List<IDisposable> _owned = [];

    public StorBus(Func<Statistics, StorVsp> create)
    {
        Vsp = create(Statistics);
        Server = new VmbusServer(Memory, Synic, Statistics);
        Client = new VmbusClient(Memory, Synic, 16 << 20, 40 << 20);
        Assert.True(Server.Offer(Vsp));
        Assert.True(Client.Connect());
        Offer = Assert.Single(Client.RequestOffers());
    }

    public GuestMemory Memory { get; } = new(64 << 20);

    public LoopbackSynic Synic { get; } = new();

    public Statistics Statistics { get; } = new();

    public VmbusServer Server { get; }

    public VmbusClient Client { get; }

    public StorVsp Vsp { get; }

    public OfferChannelMessage Offer { get; }

    /// <summary>A SCSI controller with one disk of random content on LUN 0.</summary>
    public static StorBus WithDisk(int sectors, out byte[] content, bool readOnly = false)
    {
        var bus = new StorBus(s => StorVsp.CreateScsi(0, 3, s));
        content = new byte[sectors * 512];
        new Random(99).NextBytes(content);
        Assert.True(bus.Vsp.TryAdd(0, new ScsiDisk(bus.CreateDisk(content, readOnly))));
        return bus;
    }

    public IDisk CreateDisk(byte[] content, bool readOnly = false)
    {
        IDisk disk = OpenDisk(content, readOnly);
        _owned.Add(disk);
        return disk;
    }

    /// <summary>A disk that the caller disposes of.</summary>
    public static IDisk OpenDisk(byte[] content, bool readOnly = false)
    {
        string path = Path.Combine(Path.GetTempPath(), $"sv-{Guid.NewGuid():N}.img");
        File.WriteAllBytes(path, content);
        IDisk disk = DiskImage.Open(path, readOnly);
        // Deleted at once: the open file lives on until it is closed.
        File.Delete(path);
        return disk;
    }

    public StorVsc OpenOnly(int sendPages = 16, int receivePages = 16)
    {
        GuestChannel? channel = Client.Open(Offer, sendPages, receivePages);
        Assert.NotNull(channel);
        return new StorVsc(channel);
    }

    public StorVsc Open(int sendPages = 16, int receivePages = 16)
    {
        StorVsc vsc = OpenOnly(sendPages, receivePages);
        Assert.True(vsc.Initialize());
        return vsc;
    }

    public byte[] ReadPages(ulong[] pfns, int bytes, int offset = 0)
    {
        byte[] all = new byte[pfns.Length * 4096];
        for (int i = 0; i < pfns.Length; i++)
        {
            Assert.True(Memory.TryRead(pfns[i] << 12, all.AsSpan(i * 4096, 4096)));
        }

        return all[offset..(offset + bytes)];
    }

    public void WritePages(ulong[] pfns, byte[] content)
    {
        for (int i = 0; i * 4096 < content.Length; i++)
        {
            Assert.True(Memory.TryWrite(pfns[i] << 12, content.AsSpan(i * 4096, Math.Min(4096, content.Length - (i * 4096)))));
        }
    }

    public void Dispose()
    {
        Server.Dispose();
        foreach (IDisposable owned in _owned)
        {
            owned.Dispose();
        }

        Memory.Dispose();
    }
}

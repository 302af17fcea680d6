// A VSP that answers every packet with its own payload.
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus.Tests;

internal sealed class EchoDevice : IVmbusDevice, IChannelHandler
{
    public static readonly Guid Interface = Guid.Parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f");

    public EchoDevice(int number = 0, ushort maxSubchannels = 0, string? name = null)
    {
        Offer = new VmbusOffer
        {
            Name = name ?? $"echo{number}",
            InterfaceId = Interface,
            InstanceId = new Guid(number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
            UserData = new byte[] { 1, 2, 3, (byte)number },
            MaxSubchannels = maxSubchannels,
            MmioMegabytes = 7,
        };
    }

    public VmbusOffer Offer { get; }

    public bool Refuse { get; set; }

    public bool RunsOnSignallingThread { get; init; }

    /// <summary>Packets that came on a thread, by its managed id.</summary>
    public Action<int>? OnThread { get; set; }

    /// <summary>Replaces the echo.</summary>
    public Func<VmbusChannel, IncomingPacketCopy, bool>? Packet { get; set; }

    public Action<VmbusChannel>? Writable { get; set; }

    public Action<VmbusChannel>? Closing { get; set; }

    public List<VmbusChannel> Opened { get; } = [];

    public int Closed;

    public int Opens;

    public byte[] LastUserData { get; private set; } = [];

    public VmbusChannel Channel => Opened[^1];

    public IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData)
    {
        LastUserData = userData.ToArray();
        lock (Opened)
        {
            Opened.Add(channel);
        }

        return Refuse ? null : this;
    }

    public void OnOpened(VmbusChannel channel) => Interlocked.Increment(ref Opens);

    public bool OnPacket(VmbusChannel channel, in IncomingPacket packet)
    {
        OnThread?.Invoke(Environment.CurrentManagedThreadId);
        if (Packet is not null)
        {
            return Packet(channel, new IncomingPacketCopy(packet));
        }

        return !packet.CompletionRequested || channel.TryWriteCompletion(packet.TransactionId, packet.Payload) != RingWriteStatus.Full;
    }

    public void OnWritable(VmbusChannel channel) => Writable?.Invoke(channel);

    public void OnClosed(VmbusChannel channel)
    {
        Closing?.Invoke(channel);
        Interlocked.Increment(ref Closed);
    }
}

/// <summary>A packet that outlives the callback.</summary>
internal sealed class IncomingPacketCopy
{
    public IncomingPacketCopy(in IncomingPacket packet)
    {
        Type = packet.Type;
        TransactionId = packet.TransactionId;
        Payload = packet.Payload.ToArray();
        Ranges = packet.Ranges?.Ranges.ToArray() ?? [];
        Pfns = packet.Ranges?.Pfns.ToArray() ?? [];
    }

    public PacketType Type { get; }

    public ulong TransactionId { get; }

    public byte[] Payload { get; }

    public GpaRange[] Ranges { get; }

    public ulong[] Pfns { get; }
}

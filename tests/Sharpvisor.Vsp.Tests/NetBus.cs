// A network VSP on a bus of its own, with the C# guest driver on one end and a port that keeps frames on the other.
using System.Collections.Concurrent;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Network;
using Sharpvisor.Vsp.Network;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

/// <summary>A cable's far end in a test's hand.</summary>
internal class HeldPort : INetworkPort
{
    public INetworkCard? Card { get; private set; }

    public ConcurrentQueue<(byte[] Frame, FrameOffload Offload)> Sent { get; } = new();

    /// <summary>Calls of ReceiveReady.</summary>
    public int Ready;

    public int MaximumFrameBytes { get; init; } = 9014;

    public bool AcceptsLargeSegments { get; init; } = true;

    /// <summary>Keeps no frames.</summary>
    public bool Discards { get; init; }

    public void Connect(INetworkCard card) => Card = card;

    public virtual void Send(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        if (!Discards)
        {
            Sent.Enqueue((frame.ToArray(), offload));
        }
    }

    public void ReceiveReady() => Interlocked.Increment(ref Ready);

    public void Dispose()
    {
        // Nothing is open.
    }
}

/// <summary>Looks at every frame and keeps none.</summary>
internal sealed class CheckingPort : HeldPort
{
    /// <summary>What is wrong with a frame that came; null: nothing.</summary>
    public string? Fault { get; private set; }

    public override void Send(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        if (frame.Length is < 14 or > FrameCompletion.MaximumFrameBytes
            || (offload.ChecksumStart != 0 && offload.ChecksumStart + offload.ChecksumOffset + 2 > frame.Length)
            || (offload.SegmentBytes != 0 && (!AcceptsLargeSegments || frame.Length <= offload.SegmentBytes)))
        {
            Fault = $"{frame.Length} bytes, {offload}";
        }
    }
}

internal sealed class NetBus : IDisposable
{
    public static readonly MacAddress Address = new(0x0015_5D01_0203);

    public NetBus(ushort subchannels = 3, HeldPort? port = null)
    {
        Port = port ?? new HeldPort();
        Vsp = new NetVsp(0, Address, Port, subchannels, Statistics);
        Server = new VmbusServer(Memory, Synic, Statistics);
        Client = new VmbusClient(Memory, Synic, 16 << 20, 100 << 20);
        Assert.True(Server.Offer(Vsp));
        Vsp.Connect();
        Assert.True(Client.Connect());
        Offer = Assert.Single(Client.RequestOffers());
    }

    public GuestMemory Memory { get; } = new(128 << 20);

    public LoopbackSynic Synic { get; } = new();

    public Statistics Statistics { get; } = new();

    public HeldPort Port { get; }

    public VmbusServer Server { get; }

    public VmbusClient Client { get; }

    public NetVsp Vsp { get; }

    public OfferChannelMessage Offer { get; }

    public NetVsc OpenOnly(int sendPages = 16, int receivePages = 16)
    {
        GuestChannel? channel = Client.Open(Offer, sendPages, receivePages);
        Assert.NotNull(channel);
        return new NetVsc(Client, Memory, channel);
    }

    /// <summary>A driver that receives frames for its address and broadcasts.</summary>
    public NetVsc Open(uint version = NetVsc.Version61, int mtu = 1500, int receivePages = 64)
    {
        NetVsc vsc = OpenOnly();
        Assert.True(vsc.Initialize(version, mtu, receivePages));
        Assert.Equal(0u, vsc.SetFilter());
        return vsc;
    }

    public void Dispose()
    {
        Server.Dispose();
        Memory.Dispose();
    }
}

// The switch between processes, with several of its ends in this one: a lock of an open file description does not know processes.
using System.Buffers.Binary;
using System.Net.Sockets;
using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Network.Tests;

public sealed class SharedSwitchTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;

    private string Socket => Path.Combine(_directory, "switch");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void The_first_holds_the_switch_and_the_others_reach_it_and_each_other()
    {
        using TestCard a = new(), b = new(), c = new();
        using SharedSwitch first = Plug(a), second = Plug(b), third = Plug(c);

        Assert.True(first.IsServing);
        Assert.False(second.IsServing);
        SendUntilReceived(second, Frames.ToAll(2, "from two"), a, c);
        SendUntilReceived(first, Frames.ToAll(1, "from one"), b, c);
    }

    [Fact]
    public void When_the_first_ends_another_takes_over()
    {
        using TestCard a = new(), b = new(), c = new();
        using SharedSwitch first = Plug(a), second = Plug(b), third = Plug(c);
        SendUntilReceived(second, Frames.ToAll(2, "before"), a, c);
        first.Dispose();

        SendUntilReceived(second, Frames.ToAll(2, "after"), c);
        Assert.True(second.IsServing != third.IsServing);
    }

    [Fact]
    public void A_socket_left_by_a_killed_process_is_no_obstacle()
    {
        using (Socket stale = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            stale.Bind(new UnixDomainSocketEndPoint(Socket + ".x"));
            File.Move(Socket + ".x", Socket);
        }

        using var card = new TestCard();
        using SharedSwitch first = Plug(card);
        Assert.True(first.IsServing);
    }

    [Fact]
    public void A_peer_that_sends_rubbish_loses_its_connection_and_nobody_else_does()
    {
        using TestCard a = new(), b = new();
        using SharedSwitch first = Plug(a), second = Plug(b);
        using Socket peer = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        peer.Connect(new UnixDomainSocketEndPoint(Socket));
        byte[] length = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(length, 1 << 30);
        _ = peer.Send(length);
        peer.ReceiveTimeout = 20_000;

        // Frames that the switch floods may come before the end.
        byte[] buffer = new byte[65536];
        while (peer.Receive(buffer) > 0)
        {
        }

        SendUntilReceived(second, Frames.ToAll(2, "still"), a);
    }

    [Fact]
    public void A_large_segment_arrives_in_pieces_at_the_other_process()
    {
        using TestCard a = new(), b = new();
        using SharedSwitch first = Plug(a), second = Plug(b);
        byte[] frame = new byte[14 + 40 + 3000];
        Frames.ToAll(1, "").CopyTo(frame, 0);
        (frame[12], frame[13], frame[14], frame[14 + 20 + 12]) = (0x08, 0x00, 0x45, 0x50);
        SendUntilReceived(first, Frames.ToAll(1, "up"), b);
        first.Send(frame, new FrameOffload(1460, 34, 16));

        Assert.Equal(54 + 1460, b.Take(f => f[12] == 8).Length);
        Assert.Equal(54 + 1460, b.Take().Length);
        Assert.Equal(54 + 80, b.Take().Length);
    }

    [Fact]
    public void A_path_that_cannot_be_used_is_named()
    {
        NetworkException e = Assert.Throws<NetworkException>(() => new SharedSwitch("/nowhere/switch", _ => { }));
        Assert.Contains("/nowhere/switch", e.Message, StringComparison.Ordinal);
    }

    private SharedSwitch Plug(TestCard card)
    {
        var port = new SharedSwitch(Socket, _ => { });
        port.Connect(card);
        return port;
    }

    // The network may still be connecting, and loses frames meanwhile.
    private static void SendUntilReceived(SharedSwitch from, byte[] frame, params TestCard[] cards)
    {
        foreach (TestCard card in cards)
        {
            Assert.True(SpinWait.SpinUntil(
                () =>
                {
                    from.Send(frame, default);
                    Thread.Sleep(20);
                    return !card.IsEmpty && card.Take().AsSpan().SequenceEqual(frame);
                },
                TimeSpan.FromSeconds(20)));
        }
    }
}

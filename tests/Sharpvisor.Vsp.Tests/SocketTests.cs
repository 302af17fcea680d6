// Hyper-V sockets: unix sockets of the host against the C# guest end, and guests that do not keep to the protocol.
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Socket;
using Sharpvisor.Vsp.Socket;
using Xunit;
using HostSocket = System.Net.Sockets.Socket;

namespace Sharpvisor.Vsp.Tests;

public sealed class SocketTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;
    private readonly GuestMemory _memory = new(96 << 20);
    private readonly VmbusServer _server;
    private readonly VmbusClient _client;
    private readonly SocketVsp _vsp;

    public SocketTests()
    {
        var synic = new LoopbackSynic();
        _server = new VmbusServer(_memory, synic, new Statistics());
        _client = new VmbusClient(_memory, synic, 4 << 20, 80 << 20);
        _vsp = new SocketVsp(_server, Listen(Path), Path) { Timeout = TimeSpan.FromSeconds(1) };
        Assert.True(_client.Connect());
        Assert.Empty(_client.RequestOffers());
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private string Path => System.IO.Path.Combine(_directory, "vsock");

    public void Dispose()
    {
        _vsp.Dispose();
        _server.Dispose();
        _memory.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task The_guest_reaches_a_unix_socket_and_each_direction_ends_by_itself()
    {
        using HostSocket listener = Listen($"{Path}_1234");
        SocketVsc.Request(_client, 70, 1234);
        SocketVsc guest = SocketVsc.Open(_client);
        Assert.Equal((SocketVsc.ServiceId(1234), SocketVsc.ServiceId(70)), (guest.Channel.Offer.InterfaceId, guest.Channel.Offer.InstanceId));
        Assert.Equal(OfferFlags.EnumerateDeviceInterface | OfferFlags.NamedPipeMode | OfferFlags.TlnpiProviderOffer, guest.Channel.Offer.Flags);
        Assert.Equal(0, guest.Channel.Offer.UserData[4]);
        using HostSocket host = await listener.AcceptAsync(Cancellation);

        guest.Send("question"u8);
        Assert.Equal("question", await ReadAsync(host, 8));
        Assert.True(guest.TryEnd());
        Assert.Equal(0, await host.ReceiveAsync(new byte[1], Cancellation));
        await host.SendAsync("answer"u8.ToArray(), Cancellation);
        Assert.Equal("answer"u8.ToArray(), guest.Receive(6));
        host.Shutdown(SocketShutdown.Send);
        Assert.Empty(guest.Receive());
        AssertRescinded(guest);
    }

    [Fact]
    public async Task A_program_on_the_host_reaches_the_guest_s_listener()
    {
        using HostSocket host = await DialAsync("CONNECT 99\nearly");
        SocketVsc guest = SocketVsc.Open(_client);
        Assert.Equal(SocketVsc.ServiceId(99), guest.Channel.Offer.InterfaceId);
        Assert.Equal(SocketVsc.ServiceId(0x4000_0000), guest.Channel.Offer.InstanceId);
        Assert.Equal(1, guest.Channel.Offer.UserData[4]);
        guest.Send("hello"u8);
        Assert.Equal("OK 1073741824\nhello", await ReadAsync(host, 19));
        Assert.Equal("early"u8.ToArray(), guest.Receive(5));
        host.Shutdown(SocketShutdown.Send);
        Assert.Empty(guest.Receive());
        guest.Send("late"u8);
        Assert.True(guest.TryEnd());
        Assert.Equal("late", await ReadAsync(host, 4));
        Assert.Equal(0, await host.ReceiveAsync(new byte[1], Cancellation));
        AssertRescinded(guest);
    }

    [Theory]
    [InlineData("CONNECT\n")]
    [InlineData("CONNECT x\n")]
    [InlineData("CONNECT 4294967296\n")]
    [InlineData("GET / HTTP/1.1\n")]
    [InlineData("CONNECT 0000000000000000000000000000000000001\n")]
    public async Task A_request_that_is_none_is_hung_up_on(string request)
    {
        using HostSocket host = await DialAsync(request);
        Assert.True(await HungUpAsync(host));
    }

    [Fact]
    public async Task Where_nobody_listens_connections_fail_on_both_sides()
    {
        SocketVsc.Request(_client, 70, 1);
        Assert.Equal(VmbusConstants.StatusConnectionRefused, _client.Expect<TlConnectResultMessage>(ChannelMessageType.TlConnectResult).Status);

        using HostSocket host = await DialAsync("CONNECT 5\n");
        OfferChannelMessage offer = _client.Expect<OfferChannelMessage>(ChannelMessageType.OfferChannel);
        Assert.True(await HungUpAsync(host));
        Assert.Equal(offer.Relid, _client.Expect<RelidMessage>(ChannelMessageType.RescindChannelOffer).Relid);
    }

    [Fact]
    public void A_service_that_has_no_port_is_refused()
    {
        var service = Guid.NewGuid();
        _client.Post(new TlConnectRequestMessage { Header = Wire.Header(ChannelMessageType.TlConnectRequest), ServiceId = service });
        Assert.Equal(service, _client.Expect<TlConnectResultMessage>(ChannelMessageType.TlConnectResult).ServiceId);
    }

    [Fact]
    public async Task Whoever_does_not_read_makes_the_other_end_wait_and_loses_nothing()
    {
        (SocketVsc guest, HostSocket host) = await ConnectedAsync(7);
        using (host)
        {
            byte[] data = RandomNumberGenerator.GetBytes(4 << 20);
            int sent = 0;
            int last;
            do
            {
                last = sent;
                for (int i = 0; i < 50; i++)
                {
                    sent += guest.TrySend(data.AsSpan(sent));
                    Thread.Sleep(1);
                }
            }
            while (sent > last);
            Assert.InRange(sent, 1, 2 << 20);

            byte[] received = new byte[data.Length];
            Task<int> reading = Task.Run(() => ReadAll(host, received), Cancellation);
            guest.Send(data.AsSpan(sent));
            Assert.Equal(data.Length, await reading);
            Assert.Equal(data, received);

            Task<int> writing = host.SendAsync(data.AsMemory(), Cancellation).AsTask();
            Thread.Sleep(50);
            Assert.False(writing.IsCompleted);
            Assert.Equal(data, guest.Receive(data.Length));
            Assert.Equal(data.Length, await writing);
        }
    }

    [Fact]
    public async Task Hundreds_of_connections_live_side_by_side_and_leave_nothing()
    {
        var pairs = new List<(SocketVsc Guest, HostSocket Host)>();
        for (uint i = 0; i < 300; i++)
        {
            pairs.Add(await ConnectedAsync(i));
        }

        foreach ((SocketVsc guest, HostSocket host) in pairs)
        {
            guest.Send(BitConverter.GetBytes(guest.Channel.Offer.Relid));
            byte[] received = new byte[4];
            Assert.Equal(4, ReadAll(host, received));
            Assert.Equal(guest.Channel.Offer.Relid, BitConverter.ToUInt32(received));
        }

        foreach ((SocketVsc guest, HostSocket host) in pairs)
        {
            host.Dispose();
            Assert.Empty(guest.Receive());
            Assert.True(guest.TryEnd());
            AssertRescinded(guest);
        }

        Assert.True(SpinWait.SpinUntil(() => _vsp.Count == 0, TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public void More_connections_than_there_may_be_are_refused()
    {
        using HostSocket listener = Listen($"{Path}_1");
        for (uint i = 0; i < SocketVsp.MaxConnections + 10; i++)
        {
            SocketVsc.Request(_client, i, 1);
        }

        _ = _client.Expect<TlConnectResultMessage>(ChannelMessageType.TlConnectResult);
        Assert.InRange(_vsp.Count, 0, SocketVsp.MaxConnections);
        // None is opened: all are taken back in the end.
        Assert.True(SpinWait.SpinUntil(() => _vsp.Count == 0, TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public async Task A_guest_that_unloads_VMBus_ends_its_connections()
    {
        (_, HostSocket host) = await ConnectedAsync(7);
        using (host)
        {
            _client.Unload();
            Assert.True(await HungUpAsync(host));
            Assert.True(_client.Connect());
            Assert.Empty(_client.RequestOffers());
        }
    }

    [Theory]
    [InlineData(2u, 4u, 4)]
    [InlineData(1u, 17u, 16)]
    [InlineData(1u, 0xFFFF_FFFFu, 16)]
    [InlineData(1u, 16385u, 16392)]
    public async Task A_packet_that_breaks_the_protocol_ends_the_connection(uint type, uint size, int bytes)
    {
        (SocketVsc guest, HostSocket host) = await ConnectedAsync(7);
        using (host)
        {
            Assert.True(guest.TrySendPacket(type, size, new byte[bytes]));
            Assert.True(await HungUpAsync(host));
            AssertRescinded(guest);
        }
    }

    [Fact]
    public async Task Garbage_is_survived()
    {
        var random = new Random(5);
        for (uint round = 0; round < 20; round++)
        {
            (SocketVsc guest, HostSocket host) = await ConnectedAsync(round);
            using (host)
            {
                host.Blocking = false;
                for (int i = 0; i < 100; i++)
                {
                    byte[] data = new byte[random.Next(0, 300)];
                    random.NextBytes(data);
                    _ = guest.TrySendPacket(random.Next(20) == 0 ? (uint)random.Next() : 1, (uint)random.Next(data.Length + (random.Next(20) == 0 ? 20 : 1)), data);
                    _ = guest.Channel.TryReceive();
                    _ = host.Send(data, SocketFlags.None, out _);
                    _ = host.Receive(data, SocketFlags.None, out _);
                }
            }
        }

        (SocketVsc last, HostSocket end) = await ConnectedAsync(500);
        using (end)
        {
            last.Send("still here"u8);
            Assert.Equal("still here", await ReadAsync(end, 10));
        }
    }

    private static HostSocket Listen(string path)
    {
        var listener = new HostSocket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        return listener;
    }

    private static int ReadAll(HostSocket socket, byte[] buffer)
    {
        int total = 0;
        int bytes;
        do
        {
            bytes = socket.Receive(buffer.AsSpan(total));
            total += bytes;
        }
        while (bytes > 0 && total < buffer.Length);
        return total;
    }

    private static async Task<string> ReadAsync(HostSocket socket, int bytes)
    {
        byte[] buffer = new byte[bytes];
        for (int read = 0; read < bytes;)
        {
            int more = await socket.ReceiveAsync(buffer.AsMemory(read), Cancellation);
            Assert.NotEqual(0, more);
            read += more;
        }

        return Encoding.ASCII.GetString(buffer);
    }

    private static async Task<bool> HungUpAsync(HostSocket socket)
    {
        try
        {
            return await socket.ReceiveAsync(new byte[1], Cancellation) == 0;
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown)
        {
            return true;
        }
    }

    private void AssertRescinded(SocketVsc guest)
    {
        Assert.Equal(guest.Channel.Offer.Relid, _client.Expect<RelidMessage>(ChannelMessageType.RescindChannelOffer).Relid);
        _client.Post(new RelidMessage { Header = Wire.Header(ChannelMessageType.RelidReleased), Relid = guest.Channel.Offer.Relid });
        guest.Channel.Dispose();
    }

    private async Task<HostSocket> DialAsync(string request)
    {
        var host = new HostSocket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await host.ConnectAsync(new UnixDomainSocketEndPoint(Path), Cancellation);
        await host.SendAsync(Encoding.ASCII.GetBytes(request), Cancellation);
        return host;
    }

    private async Task<(SocketVsc Guest, HostSocket Host)> ConnectedAsync(uint port)
    {
        HostSocket host = await DialAsync($"CONNECT {port}\n");
        SocketVsc guest = SocketVsc.Open(_client);
        string line = "";
        while (!line.EndsWith('\n'))
        {
            line += await ReadAsync(host, 1);
        }

        Assert.StartsWith("OK ", line, StringComparison.Ordinal);
        return (guest, host);
    }
}

// The VNC server, spoken to by a client over a socket.
using System.Net;
using System.Net.Sockets;
using Sharpvisor.Core;
using Sharpvisor.Display.Vnc;
using Xunit;

namespace Sharpvisor.Display.Tests;

public sealed class VncTests : IDisposable
{
    private readonly FakeConsole _console = new();
    private readonly List<IDisposable> _open = [];

    public void Dispose()
    {
        _open.Reverse();
        _open.ForEach(o => o.Dispose());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(6)]
    [InlineData(16)]
    public void A_client_sees_the_screen_pixel_by_pixel(int encoding)
    {
        _console.Paint(new Random(3), 200, 150);
        RfbClient client = Client(Serve());
        client.SetEncodings(encoding);
        client.Request(incremental: false);
        Assert.Equal(200 * 150, client.ReceiveUpdate());
        Assert.Equal(_console.Pixels(), client.Pixels);
        Assert.Equal([encoding], client.Received);
        // A second update goes through the same zlib stream.
        _console.Set(130, 70, 0xABCDEF);
        client.Request(incremental: true);
        Assert.Equal(64 * 64, client.ReceiveUpdate());
        Assert.Equal(_console.Pixels(), client.Pixels);
    }

    [Fact]
    public void An_incremental_request_waits_for_a_change()
    {
        _console.Paint(new Random(4), 100, 100);
        RfbClient client = Client(Serve());
        client.Request(incremental: false);
        client.ReceiveUpdate();
        client.Request(incremental: true);
        Thread.Sleep(150);
        _console.Set(5, 5, 0x010203);
        Assert.Equal(64 * 64, client.ReceiveUpdate());
        Assert.Equal(0x010203u, client.Pixels[505]);
    }

    [Fact]
    public void A_screen_that_changes_size_resizes_clients_that_can_be_resized()
    {
        _console.Paint(new Random(5), 100, 80);
        EndPoint server = Serve();
        RfbClient able = Client(server);
        RfbClient unable = Client(server);
        able.SetEncodings(0, -223);
        able.Request(incremental: false);
        able.ReceiveUpdate();
        unable.Request(incremental: false);
        unable.ReceiveUpdate();
        _console.Paint(new Random(6), 160, 60);
        able.Request(incremental: true);
        able.ReceiveUpdate();
        Assert.Equal((160, 60), (able.Width, able.Height));
        Assert.Equal(_console.Pixels(), able.Pixels);
        unable.Request(incremental: true);
        unable.ReceiveUpdate();
        Assert.Equal(_console.Pixels()[(59 * 160) + 99], unable.Pixels[(59 * 100) + 99]);
        Assert.Equal(0u, unable.Pixels[79 * 100]);
    }

    [Fact]
    public void Without_a_picture_the_screen_is_dark_and_the_guest_is_told_when_somebody_looks()
    {
        EndPoint server = Serve();
        Assert.False(_console.IsWatched);
        RfbClient client = Client(server);
        client.Request(incremental: false);
        Assert.Equal(640 * 400, client.ReceiveUpdate());
        Assert.All(client.Pixels, p => Assert.Equal(0u, p));
        Assert.True(_console.IsWatched);
        client.Dispose();
        Assert.True(SpinWait.SpinUntil(() => !_console.IsWatched, TimeSpan.FromSeconds(20)));
    }

    [Theory]
    [InlineData(8, 7, 7, 3, 0, 3, 6, false)]
    [InlineData(16, 31, 63, 31, 11, 5, 0, true)]
    [InlineData(32, 255, 255, 255, 24, 16, 8, true)]
    public void Clients_choose_their_pixel_format(byte bits, byte red, byte green, byte blue, byte redShift, byte greenShift, byte blueShift, bool bigEndian)
    {
        _console.Paint(new Random(7), 1, 1);
        _console.Set(0, 0, 0xFF8001);
        RfbClient client = Client(Serve());
        client.Send([0, 0, 0, 0, bits, 24, bigEndian ? (byte)1 : (byte)0, 1, 0, red, 0, green, 0, blue, redShift, greenShift, blueShift, 0, 0, 0]);
        client.Request(incremental: false);
        byte[] update = client.Read(16 + (bits / 8));
        uint value = 0;
        foreach (byte b in bigEndian ? update[16..] : [.. update[16..].Reverse()])
        {
            value = (value << 8) | b;
        }

        uint expected = ((uint)red << redShift) | (uint)(((0x80 * green) + 127) / 255) << greenShift | (uint)((blue + 127) / 255) << blueShift;
        Assert.Equal(expected, value);
    }

    [Fact]
    public void Keys_and_pointer_reach_the_guest_and_are_released_when_the_client_goes()
    {
        _console.Paint(new Random(8), 101, 51);
        RfbClient client = Client(Serve());
        client.Press('a');
        client.Press('A');
        client.Key(0xFFE1, true);
        client.Press('!');
        client.Key(0xFFE1, false);
        // QEMU extended key event: scan code E0 48.
        client.Send([255, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xC8]);
        client.Pointer(1 | 8, 100, 25);
        Assert.True(SpinWait.SpinUntil(() => _console.Pointed.Count == 1, TimeSpan.FromSeconds(20)));
        client.Dispose();
        Assert.True(SpinWait.SpinUntil(() => _console.Pointed.Count == 2, TimeSpan.FromSeconds(20)));
        Assert.Equal("1e 9e 2a 1e 9e aa 2a 2 82 aa e0:48 e0:c8", _console.Typed);
        Assert.Equal(
            [new PointerState(0x7FFF, 25 * 0x7FFF / 50, PointerButtons.Left, 1), new PointerState(0x7FFF, 25 * 0x7FFF / 50, PointerButtons.None, 0)],
            _console.Pointed);
    }

    [Theory]
    [InlineData("RFB 003.008\n")]
    [InlineData("RFB 003.007\n")]
    [InlineData("RFB 003.003\n")]
    public void A_password_is_asked_for_in_every_version(string version)
    {
        EndPoint server = Serve("secret12");
        using (RfbClient client = RfbClient.Connect(server, "secret12", version))
        {
            client.Request(incremental: false);
            client.ReceiveUpdate();
        }

        if (version.Contains('8', StringComparison.Ordinal))
        {
            InvalidDataException e = Assert.Throws<InvalidDataException>(() => RfbClient.Connect(server, "Secret12", version));
            Assert.Equal("wrong password", e.Message);
        }
    }

    [Fact]
    public void A_client_that_leaves_authentication_out_is_hung_up_on()
    {
        EndPoint server = Serve("secret12");
        using RfbClient client = RfbClient.ConnectOnly(server);
        client.Read(12);
        client.Send("RFB 003.008\n"u8);
        Assert.Equal([1, 2], client.Read(2));
        client.Send([1, 1]);
        Assert.True(client.IsHungUp());
    }

    [Theory]
    [InlineData(new byte[] { 99 })]
    [InlineData(new byte[] { 6, 0, 0, 0, 255, 255, 255, 255 })]
    [InlineData(new byte[] { 0, 0, 0, 0, 24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0 })]
    [InlineData(new byte[] { 0, 0, 0, 0, 32, 24, 0, 0, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0 })]
    [InlineData(new byte[] { 0, 0, 0, 0, 8, 8, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0 })]
    [InlineData(new byte[] { 255, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 })]
    public void A_client_that_breaks_the_protocol_is_hung_up_on(byte[] message)
    {
        EndPoint server = Serve();
        RfbClient client = Client(server);
        client.Send(message);
        Assert.True(client.IsHungUp());
        Client(server).Request(incremental: false);
    }

    [Fact]
    public void Clients_are_bounded_in_number_and_make_room_when_they_go()
    {
        EndPoint server = Serve();
        RfbClient[] clients = [.. Enumerable.Range(0, 8).Select(_ => Client(server))];
        using (RfbClient refused = RfbClient.ConnectOnly(server))
        {
            Assert.True(refused.IsHungUp());
        }

        clients[3].Dispose();
        Connect(server).Dispose();
    }

    [Theory]
    [InlineData(51)]
    [InlineData(52)]
    public void Random_bytes_do_no_harm(int seed)
    {
        var random = new Random(seed);
        _console.Paint(random, 90, 70);
        EndPoint server = Serve();
        for (int i = 0; i < 40; i++)
        {
            using RfbClient client = random.Next(4) == 0 ? RfbClient.ConnectOnly(server) : Connect(server);
            byte[] bytes = new byte[random.Next(400)];
            random.NextBytes(bytes);
            for (int at = 0; at < bytes.Length; at += random.Next(1, 12))
            {
                bytes[at] = (byte)random.Next(7);
            }

            try
            {
                client.Send(bytes);
            }
            catch (IOException)
            {
                // Hung up on already.
            }
        }

        RfbClient last = Client(server);
        last.Request(incremental: false);
        last.ReceiveUpdate();
        Assert.Equal(_console.Pixels(), last.Pixels);
    }

    [Fact]
    public void Empty_passwords_are_refused() => Assert.Throws<ArgumentException>(() => new VncAuthentication(""));

    private IPEndPoint Serve(string? password = null)
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var server = new VncServer(listener, _console, _console, _console, password is null ? null : new VncAuthentication(password));
        _open.Add(server);
        server.Start();
        return (IPEndPoint)listener.LocalEndPoint!;
    }

    private RfbClient Client(EndPoint server)
    {
        RfbClient client = Connect(server);
        _open.Add(client);
        return client;
    }

    // A place that a client has just left is free a little later.
    private static RfbClient Connect(EndPoint server)
    {
        RfbClient? client = null;
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                try
                {
                    client = RfbClient.Connect(server);
                }
                catch (IOException)
                {
                    // Hung up on.
                }

                return client is not null;
            },
            TimeSpan.FromSeconds(20)));
        return client!;
    }
}

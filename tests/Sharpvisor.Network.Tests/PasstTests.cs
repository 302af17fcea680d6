// The real passt, spoken to as a guest's DHCP client and TCP would.
using System.Net;
using System.Net.Sockets;
using Xunit;

namespace Sharpvisor.Network.Tests;

public sealed class PasstTests
{
    [Fact]
    public void DHCP_offers_the_documented_addresses()
    {
        using var card = new TestCard();
        using var port = new PasstPort(new PasstOptions { Mtu = 1500 }, _ => { });
        port.Connect(card);
        port.Send(DhcpDiscover(), default);

        byte[] offer = card.Take(IsDhcpReply);
        Assert.Equal(IPAddress.Parse(PasstOptions.GuestAddress), new IPAddress(offer.AsSpan(14 + 20 + 8 + 16, 4)));
        Assert.Equal(IPAddress.Parse(PasstOptions.HostAddress).GetAddressBytes(), Option(offer, 3));
        Assert.Equal([255, 255, 255, 0], Option(offer, 1));
        Assert.Equal([1500 >> 8, 1500 & 0xFF], Option(offer, 26));
    }

    [Fact]
    public void It_is_started_again_when_it_dies()
    {
        var reports = new List<string>();
        using var card = new TestCard();
        using var port = new PasstPort(new PasstOptions(), reports.Add);
        port.Connect(card);
        port.KillPasst();

        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                port.Send(DhcpDiscover(), default);
                Thread.Sleep(100);
                return !card.IsEmpty;
            },
            TimeSpan.FromSeconds(20)));
        Assert.Contains("starting it again", Assert.Single(reports), StringComparison.Ordinal);
    }

    [Fact]
    public void It_ends_with_its_port()
    {
        int pid;
        using (var port = new PasstPort(new PasstOptions(), _ => { }))
        {
            pid = port.PasstPid;
            Assert.True(Directory.Exists($"/proc/{pid}"));
        }

        Assert.False(Directory.Exists($"/proc/{pid}"));
    }

    [Fact]
    public void A_forwarded_port_that_is_taken_is_named()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        int taken = ((IPEndPoint)listener.LocalEndpoint).Port;

        NetworkException e = Assert.Throws<NetworkException>(() => new PasstPort(
            new PasstOptions { Forwards = [new PortForward(Udp: false, IPAddress.Loopback, taken, 22)] }, _ => { }));
        Assert.Contains($"{taken}:22", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("tcp:2222:22", false, "127.0.0.1", 2222, 22)]
    [InlineData("udp:5353:53", true, "127.0.0.1", 5353, 53)]
    [InlineData("tcp:0.0.0.0:80:8080", false, "0.0.0.0", 80, 8080)]
    public void A_forward_is_parsed(string text, bool udp, string address, int host, int guest)
    {
        Assert.True(PortForward.TryParse(text, out PortForward? forward));
        Assert.Equal(new PortForward(udp, IPAddress.Parse(address), host, guest), forward);
    }

    [Theory]
    [InlineData("")]
    [InlineData("tcp:22")]
    [InlineData("sctp:1:2")]
    [InlineData("tcp:0:22")]
    [InlineData("tcp:1:65536")]
    [InlineData("tcp:1: 2")]
    [InlineData("tcp:host:1:2")]
    [InlineData("tcp:::1:1:2")]
    public void A_forward_that_is_none_is_refused(string text) => Assert.False(PortForward.TryParse(text, out _));

    private static bool IsDhcpReply(byte[] frame) =>
        frame.Length > 282 && frame[12] == 8 && frame[13] == 0 && frame[23] == 17 && frame[34] == 0 && frame[35] == 67;

    private static byte[] Option(byte[] frame, byte code)
    {
        for (int at = 14 + 20 + 8 + 240; at + 1 < frame.Length && frame[at] != 255; at += 2 + frame[at + 1])
        {
            if (frame[at] == code)
            {
                return frame[(at + 2)..(at + 2 + frame[at + 1])];
            }
        }

        return [];
    }

    // RFC 2131: the broadcast a client begins with.
    private static byte[] DhcpDiscover()
    {
        byte[] options = [0x63, 0x82, 0x53, 0x63, 53, 1, 1, 55, 3, 1, 3, 26, 255];
        byte[] bootp = new byte[236];
        (bootp[0], bootp[1], bootp[2]) = (1, 1, 6);
        byte[] mac = [0x00, 0x15, 0x5D, 1, 2, 3];
        mac.CopyTo(bootp, 28);
        byte[] payload = [.. bootp, .. options];
        byte[] ip = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255];
        int total = 20 + 8 + payload.Length;
        (ip[2], ip[3]) = ((byte)(total >> 8), (byte)total);
        int udp = 8 + payload.Length;
        return [.. Frames.Broadcast, .. mac, 8, 0, .. ip, 0, 68, 0, 67, (byte)(udp >> 8), (byte)udp, 0, 0, .. payload];
    }
}

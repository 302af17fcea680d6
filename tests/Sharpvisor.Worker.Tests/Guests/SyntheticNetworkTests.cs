// The synthetic network card against Debian's unmodified hv_netvsc.
using Sharpvisor.Core;
using Sharpvisor.Cli.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class SyntheticNetworkTests
{
    private const string Up = """
        modprobe hv_vmbus; modprobe hv_netvsc
        n=0; until [ -e /sys/class/net/eth0 ]; do n=$((n+1)); [ $n -gt 300 ] && echo NONIC && poweroff -f; usleep 100000; done
        ip link set lo up; ip link set eth0 up; ip addr add 10.7.0.2/24 dev eth0

        """;

    private static readonly byte[] s_peer = [10, 7, 0, 1];
    private static readonly MacAddress s_address = new(0x0015_5D07_0002);

    [Fact]
    public async Task The_guest_finds_the_card_and_reaches_a_peer_with_small_and_fragmented_packets()
    {
        using var peer = new EchoPeer(s_peer);
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            Up + """
            cat /sys/class/net/eth0/address
            ping -c 3 -i 0.2 10.7.0.1
            ping -c 3 -i 0.2 -s 6000 10.7.0.1
            echo "CARRIER $(cat /sys/class/net/eth0/carrier)"
            """,
            o => With(o, peer),
            modules: ["hv_vmbus", "hv_netvsc"]);

        run.AssertPoweredOff().AssertPrinted("00:15:5d:07:00:02").AssertPrinted("CARRIER 1").AssertNotPrinted("100% packet loss");
        Assert.Equal(2, run.Console.Split("3 packets received").Length - 1);
    }

    private static VmOptions With(VmOptions options, INetworkPort port) => options with
    {
        Engine = EngineKind.Software,
        Networks = [new NetworkOptions(NetworkCardKind.Synthetic, s_address, "test", () => port)],
    };
}

// The synthetic network card against Debian's unmodified hv_netvsc.
using System.Text.Json.Nodes;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Core;
using Sharpvisor.Worker.Control;
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

    [Theory]
    [InlineData("6.1")]
    [InlineData("6.12")]
    public async Task The_guest_s_tools_see_every_feature_and_packets_of_all_sizes_pass(string kernel)
    {
        using var peer = new EchoPeer(s_peer);
        ConsoleTap? console = null;
        Task driven = Task.CompletedTask;
        GuestRun run = await GuestRun.BootAsync(
            kernel == "6.1" ? KernelFlavour.Cloud : KernelFlavour.TrixieCloud,
            Up + """
            echo "ADDRESS $(cat /sys/class/net/eth0/address)"
            until [ $(ls /sys/class/net/eth0/queues | wc -l) = 4 ]; do usleep 50000; done
            ethtool -k eth0; ethtool -l eth0; ethtool eth0 | grep Speed; ethtool -x eth0 | head -n 3
            ping -c 3 -i 0.1 10.7.0.1
            ping -c 3 -i 0.1 -s 6000 10.7.0.1
            ip link set eth0 mtu 9000 && ping -c 3 -i 0.1 -s 8900 10.7.0.1
            modprobe 8021q; ip link add link eth0 name eth0.7 type vlan id 7; ip link set eth0.7 up
            ip addr del 10.7.0.2/24 dev eth0; ip addr add 10.7.0.2/24 dev eth0.7
            ping -c 3 -i 0.1 10.7.0.1
            ethtool -S eth0
            echo "MTU $(cat /sys/class/net/eth0/mtu) CHANNELS $(ls -d /sys/bus/vmbus/devices/*/channels/* | wc -l)"
            echo WAITDOWN; until [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do usleep 50000; done
            echo WAITUP; until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do usleep 50000; done
            echo LINKED
            """,
            o => With(o, peer) with { Processors = 2, SerialOutput = console = new ConsoleTap(o.SerialOutput) },
            a => Ethtool.AddTo(a, GuestRun.Packages),
            modules: ["hv_vmbus", "hv_netvsc", "8021q"],
            started: vm => driven = DriveLinkAsync(vm, console!));

        await driven;
        run.AssertPoweredOff().AssertPrinted("ADDRESS 00:15:5d:07:00:02").AssertPrinted("MTU 9000").AssertPrinted("LINKED");
        foreach (string feature in (string[])["rx-checksumming", "tx-checksum-ipv4", "tx-checksum-ipv6", "tx-tcp-segmentation", "tx-tcp6-segmentation",
            "scatter-gather", "large-receive-offload", "rx-vlan-offload", "tx-vlan-offload", "receive-hashing"])
        {
            Assert.Matches($@"(?m)^\s*{feature}: on", run.Console);
        }

        Assert.Matches(@"Combined:\s+2\s[\s\S]*Combined:\s+2\s", run.Console);
        Assert.Contains("Speed: 10000Mb/s", run.Console, StringComparison.Ordinal);
        Assert.Contains("RX flow hash indirection table for eth0 with 2 RX ring(s)", run.Console, StringComparison.Ordinal);
        Assert.Equal(4, run.Console.Split("3 packets received").Length - 1);
        Assert.Matches(@"rx_queue_1_packets: \d+", run.Console);
        Assert.Contains(peer.Seen, f => f.Vlan == 7);
        Assert.Contains(peer.Seen, f => f.Bytes > 8900);
        Assert.True(run.Statistics["vmbus.nic0-1.packets_in"] > 0);
    }

    [Fact]
    public async Task The_driver_unloads_and_loads_ten_times_and_cards_come_and_go()
    {
        using var peer = new EchoPeer(s_peer);
        ConsoleTap? console = null;
        Task driven = Task.CompletedTask;
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            Up + """
            for i in 1 2 3 4 5 6 7 8 9 10; do
                rmmod hv_netvsc; modprobe hv_netvsc
                until [ -e /sys/class/net/eth0 ]; do usleep 20000; done
                ip link set eth0 up; ip addr add 10.7.0.2/24 dev eth0
                ping -c 1 10.7.0.1 >/dev/null && echo "round $i answered"
            done
            (while [ ! -e /tmp/quiet ]; do ping -c 1 -s 3000 10.7.0.1 >/dev/null; done) & pinging=$!
            echo ADD; until [ -e /sys/class/net/eth1 ]; do usleep 20000; done
            echo "SECOND $(cat /sys/class/net/eth1/address)"
            ip link set eth1 up; ip addr add 10.8.0.2/24 dev eth1; ping -c 2 -i 0.1 10.8.0.1
            touch /tmp/quiet; wait $pinging
            echo REMOVE; while [ -e /sys/class/net/eth0 ]; do usleep 20000; done
            echo GONE
            """,
            o => With(o, peer) with
            {
                Processors = 2,
                SerialOutput = console = new ConsoleTap(o.SerialOutput),
                OpenNetwork = _ => new EchoPeer([10, 8, 0, 1]),
            },
            modules: ["hv_vmbus", "hv_netvsc"],
            started: vm => driven = DriveCardsAsync(vm, console!));

        await driven;
        run.AssertPoweredOff().AssertPrinted("round 1 answered").AssertPrinted("round 10 answered").AssertPrinted("SECOND 02:00:00:00:00:42")
            .AssertPrinted("2 packets received").AssertPrinted("GONE");
    }

    private static async Task DriveLinkAsync(VirtualMachine vm, ConsoleTap console)
    {
        var control = new VmController(vm);
        await console.WaitForAsync("WAITDOWN");
        await AskAsync(control, """{"command":"nic link","nic":0,"link":"down"}""");
        await console.WaitForAsync("WAITUP");
        Assert.Equal("down", (string?)(await AskAsync(control, """{"command":"status"}"""))["nics"]![0]!["link"]);
        await AskAsync(control, """{"command":"nic link","nic":0,"link":"up"}""");
    }

    private static async Task DriveCardsAsync(VirtualMachine vm, ConsoleTap console)
    {
        var control = new VmController(vm);
        await console.WaitForAsync("ADD\r");
        JsonNode added = await AskAsync(control, """{"command":"nic add","network":"echo","mac":"02:00:00:00:00:42"}""");
        Assert.Equal(1, (int?)added["nic"]);
        Assert.Equal([0, 1], vm.Networks.Select(n => n.Id));
        await AskAsync(control, """{"command":"nic link","nic":1,"link":"sideways"}""", succeeds: false);
        await AskAsync(control, """{"command":"nic add","network":"echo","mac":"01:00:00:00:00:42"}""", succeeds: false);
        Assert.Contains("2", (string?)(await AskAsync(control, """{"command":"nic remove","nic":2}""", succeeds: false))["error"], StringComparison.Ordinal);
        await console.WaitForAsync("REMOVE\r");
        await AskAsync(control, """{"command":"nic remove","nic":0}""");
    }

    private static async Task<JsonNode> AskAsync(VmController control, string request, bool succeeds = true)
    {
        JsonNode answer = JsonNode.Parse(await control.ExecuteAsync(request, TestContext.Current.CancellationToken))!;
        Assert.True((bool?)answer["ok"] == succeeds, answer.ToJsonString());
        return answer;
    }

    private static VmOptions With(VmOptions options, INetworkPort port) => options with
    {
        Engine = EngineKind.Software,
        Networks = [new NetworkOptions(NetworkCardKind.Synthetic, s_address, "test", () => port)],
    };
}

// Network cards and back ends, with Debian's own drivers and busybox's DHCP client, ping and nc.
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Sharpvisor.Cli.Comparison;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class NetworkTests : IDisposable
{
    private const int TransferBytes = 1 << 20;
    private static readonly MacAddress s_address = new(MacAddress.HyperVPrefix | 0x010203);
    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Legacy_card_gets_an_address_and_carries_TCP_both_ways_and_its_driver_reloads_ten_times()
    {
        string capture = Path.Combine(_directory, "capture.pcap");
        (GuestRun run, byte[] fromGuest, byte[] toGuest) = await TransferAsync(
            NetworkCardKind.Legacy,
            "tulip",
            capture,
            o => o with { Integration = false });

        run.AssertPoweredOff()
            .AssertPrinted("mac 00:15:5d:01:02:03")
            .AssertPrinted("Index #0 - Media MII (#11) described by a 21140 MII PHY (1) block")
            .AssertPrinted("reloaded 10 carrier 1")
            .AssertNotPrinted("transmit timed out")
            .AssertNotPrinted("Oversized");
        AssertTransferred(run, fromGuest, toGuest);
        Assert.Contains(PcapFrames(capture), f => f.Length > 42 && f[23] == 17 && f[37] == 67);
        Assert.True(run.Statistics["network.tulip0.tx_frames"] > TransferBytes / 1500);
        Assert.True(run.Statistics["network.tulip0.rx_frames"] > TransferBytes / 1500);
    }

    [Fact]
    public async Task Synthetic_card_gets_an_address_and_carries_TCP_both_ways_and_its_driver_reloads_ten_times()
    {
        (GuestRun run, byte[] fromGuest, byte[] toGuest) = await TransferAsync(NetworkCardKind.Synthetic, "hv_netvsc", capture: null);

        run.AssertPoweredOff().AssertPrinted("mac 00:15:5d:01:02:03").AssertPrinted("reloaded 10 carrier 1");
        AssertTransferred(run, fromGuest, toGuest);
        // What the guest sends goes out in large segments, which one ring packet carries.
        Assert.True(run.Statistics["network.nic0.tx_large"] > 0);
    }

    [Fact]
    public async Task Two_VMs_on_a_switch_reach_each_other()
    {
        string path = Path.Combine(_directory, "switch");
        Task<GuestRun> first = BootOnSwitchAsync(path, 1, "nc -l -p 7000 > /tmp/got; sha256sum < /tmp/got");
        Task<GuestRun> second = BootOnSwitchAsync(
            path,
            2,
            "until ping -c 1 -W 1 10.9.0.1 >/dev/null; do :; done; echo PINGED; dd if=/dev/urandom of=/tmp/sent bs=64k count=4 2>/dev/null; "
            + "sha256sum < /tmp/sent; until nc 10.9.0.1 7000 < /tmp/sent; do sleep 1; done");
        GuestRun receiver = await first;
        GuestRun sender = await second;

        sender.AssertPoweredOff().AssertPrinted("PINGED");
        receiver.AssertPoweredOff().AssertPrinted(Sums(sender).Single());
    }

    [Fact]
    public async Task Compare_measures_every_work_on_both_cards_and_the_synthetic_one_leaves_the_guest_less()
    {
        string initrd = Path.Combine(_directory, "initrd");
        LinuxGuest guest = GuestRun.Guest(KernelFlavour.Generic);
        await File.WriteAllBytesAsync(
            initrd, guest.BuildInitramfs("true", modules: ["hv_netvsc", "tulip"]), TestContext.Current.CancellationToken);
        var vm = new VmOptions
        {
            KernelPath = guest.KernelPath,
            InitrdPath = initrd,
            Engine = EngineKind.Software,
            Networks = [Card(NetworkCardKind.Synthetic, s_address, new NetworkPortOptions { Network = "user" })],
        };
        (IReadOnlyDictionary<string, WorkMeasurement> legacy, IReadOnlyDictionary<string, WorkMeasurement> synthetic) =
            await new NetworkComparison(vm, GuestRun.Packages, TimeSpan.FromSeconds(200), _ => { })
                .MeasureAsync(TestContext.Current.CancellationToken);

        foreach (NetworkWork work in NetworkWork.All)
        {
            Assert.True(synthetic[work.Key].Intercepts < legacy[work.Key].Intercepts, work.Title);
        }

        Assert.Contains("round trips", NetworkReport.Format(legacy, synthetic), StringComparison.Ordinal);
    }

    private static Task<GuestRun> BootOnSwitchAsync(string path, int number, string script) => GuestRun.BootAsync(
        KernelFlavour.Generic,
        $"modprobe tulip; ip link set eth0 up; ip addr add 10.9.0.{number}/24 dev eth0; {script}",
        o => o with
        {
            Integration = false,
            Engine = EngineKind.Software,
            MemoryBytes = 256UL << 20,
            Networks = [Card(NetworkCardKind.Legacy, new MacAddress(MacAddress.HyperVPrefix | (uint)number), new NetworkPortOptions { Network = $"switch={path}" })],
        },
        modules: ["tulip"]);

    // The guest sends what it made up, takes what the host sends, and unloads its driver again and again.
    private static async Task<(GuestRun Run, byte[] FromGuest, byte[] ToGuest)> TransferAsync(
        NetworkCardKind kind, string driver, string? capture, Func<VmOptions, VmOptions>? configure = null)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        int hostPort = ((IPEndPoint)listener.LocalEndpoint).Port;
        int forwarded = FreePort();
        byte[] toGuest = RandomNumberGenerator.GetBytes(TransferBytes);
        string script = $$"""
            modprobe {{driver}}
            until [ -e /sys/class/net/eth0 ]; do usleep 20000; done
            echo "mac $(cat /sys/class/net/eth0/address)"
            {{NetworkTools.Configure}}
            ip -o -4 addr show dev eth0
            arping -c 1 -I eth0 10.0.2.2 >/dev/null && echo ARPED
            dd if=/dev/urandom of=/tmp/sent bs=64k count={{TransferBytes >> 16}} 2>/dev/null; sha256sum < /tmp/sent
            nc 10.0.2.2 {{hostPort}} < /tmp/sent
            sleep 1000 | nc -l -p 7000 > /tmp/got & until cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ':1B58 .* 0A '; do usleep 10000; done
            echo "LISTENING"; until [ $(stat -c %s /tmp/got) = {{TransferBytes}} ]; do usleep 10000; done; sha256sum < /tmp/got
            killall nc; i=0; while [ $i -lt 10 ]; do rmmod {{driver}}; modprobe {{driver}}; ip link set eth0 up; i=$((i+1)); done
            {{NetworkTools.Configure}}
            echo "reloaded $i carrier $(cat /sys/class/net/eth0/carrier)"
            dmesg | grep -e eth0 -e {{driver}}
            """;
        ConsoleTap? console = null;
        Task<byte[]>? fromGuest = null;
        Task? sending = null;
        var network = new NetworkPortOptions { Network = "user", Forwards = [$"tcp:{forwarded}:7000"], CapturePath = capture };
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Generic,
            script,
            o =>
            {
                o = o with
                {
                    Engine = EngineKind.Software,
                    SerialOutput = console = new ConsoleTap(o.SerialOutput),
                    Networks = [Card(kind, s_address, network)],
                };
                return configure?.Invoke(o) ?? o;
            },
            NetworkTools.AddTo,
            timeoutSeconds: 120,
            started: vm =>
            {
                fromGuest = StopOnFailureAsync(vm, () => ReceiveAsync(listener));
                sending = StopOnFailureAsync(vm, () => SendAsync(console!, forwarded, toGuest));
            },
            modules: ["tulip", "hv_netvsc"]);
        await sending!;
        return (run, await fromGuest!, toGuest);
    }

    private static void AssertTransferred(GuestRun run, byte[] fromGuest, byte[] toGuest) =>
        run.AssertPrinted("address 10.0.2.15 router 10.0.2.2")
            .AssertPrinted("ARPED")
            .AssertPrinted(Convert.ToHexStringLower(SHA256.HashData(fromGuest)))
            .AssertPrinted(Convert.ToHexStringLower(SHA256.HashData(toGuest)));

    private static NetworkOptions Card(NetworkCardKind kind, MacAddress address, NetworkPortOptions network) =>
        new(kind, address, network.Network, network.Open);

    private static async Task<byte[]> ReceiveAsync(TcpListener listener)
    {
        using TcpClient client = await listener.AcceptTcpClientAsync(TestContext.Current.CancellationToken);
        using var content = new MemoryStream();
        await client.GetStream().CopyToAsync(content, TestContext.Current.CancellationToken);
        return content.ToArray();
    }

    private static async Task<bool> SendAsync(ConsoleTap console, int port, byte[] content)
    {
        await console.WaitForAsync("LISTENING");
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(IPAddress.Loopback, port, TestContext.Current.CancellationToken);
        for (int sent = 0; sent < content.Length;)
        {
            sent += await client.SendAsync(content.AsMemory(sent), TestContext.Current.CancellationToken);
        }

        // Until the guest ends: passt of 2023 forwards nothing more on a connection that is half closed.
        _ = await client.ReceiveAsync(new byte[1], TestContext.Current.CancellationToken);
        return true;
    }

    private static async Task<T> StopOnFailureAsync<T>(VirtualMachine vm, Func<Task<T>> work)
    {
        try
        {
            return await work().WaitAsync(TimeSpan.FromSeconds(200));
        }
        catch
        {
            vm.Stop();
            throw;
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static IEnumerable<string> Sums(GuestRun run) => run.Console.Split('\n')
        .Select(l => l.Trim()).Where(l => l.EndsWith("  -", StringComparison.Ordinal) && l.Length == 67).Select(l => l[..64]);

    private static List<byte[]> PcapFrames(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        var frames = new List<byte[]>();
        for (int at = 24; at < file.Length;)
        {
            int length = BitConverter.ToInt32(file, at + 8);
            frames.Add(file[(at + 16)..(at + 16 + length)]);
            at += 16 + length;
        }

        return frames;
    }
}

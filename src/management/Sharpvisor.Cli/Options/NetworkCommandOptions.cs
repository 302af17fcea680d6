// The options about a VM's network card, and their translation into NetworkOptions.
using System.CommandLine;
using Sharpvisor.Core;
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Options;

internal sealed class NetworkCommandOptions
{
    private const string None = "none";

    private readonly Option<string> _net = new("--net")
    {
        Description = "Network: user (NAT through passt), tap=NAME, switch=PATH (between VMs), none",
        HelpName = "NETWORK",
        DefaultValueFactory = _ => None,
    };

    private readonly Option<string?> _nic = new("--nic")
    {
        Description = "Network card: synthetic, or legacy (DEC 21140), which is the default with --integration off",
        HelpName = "synthetic|legacy",
    };

    private readonly Option<string[]> _forward = new("--forward")
    {
        Description = "Port of the host that leads to the guest, with --net user: tcp|udp:[ADDRESS:]HOSTPORT:GUESTPORT; may be repeated",
        HelpName = "FORWARD",
        DefaultValueFactory = _ => [],
    };

    private readonly Option<string?> _mac = new("--mac") { Description = "The card's address; default: random, 00:15:5d:…", HelpName = "ADDRESS" };
    private readonly Option<string?> _pcap = new("--pcap") { Description = "Write every frame to a capture file", HelpName = "FILE" };

    public IEnumerable<Option> All => [_net, _nic, _forward, _mac, _pcap];

    /// <exception cref="VmConfigurationException">An option's value cannot be used; the message names it.</exception>
    public VmOptions Apply(VmOptions options, ParseResult parsed)
    {
        string network = parsed.GetValue(_net)!;
        if (network != None && !NetworkPortOptions.IsNetwork(network))
        {
            throw new VmConfigurationException($"--net {network}: must be {NetworkPortOptions.Choices}");
        }

        string[] forwards = parsed.GetValue(_forward)!;
        if (forwards.FirstOrDefault(f => !NetworkPortOptions.IsForward(f)) is { } bad)
        {
            throw new VmConfigurationException($"--forward {bad}: must be tcp or udp, :HOSTPORT, :GUESTPORT, such as tcp:2222:22");
        }

        if (forwards.Length > 0 && network != "user")
        {
            throw new VmConfigurationException($"--forward {forwards[0]}: needs --net user");
        }

        NetworkCardKind kind = Kind(parsed.GetValue(_nic), options.Integration);
        MacAddress address = Address(parsed.GetValue(_mac));
        string? capture = parsed.GetValue(_pcap);
        if (network == None)
        {
            return (parsed.GetValue(_nic), parsed.GetValue(_mac), capture) is (null, null, null)
                ? options with { OpenNetwork = Open }
                : throw new VmConfigurationException("--nic, --mac, --pcap: there is no card without --net");
        }

        var port = new NetworkPortOptions
        {
            Network = network,
            Forwards = forwards,
            CapturePath = capture,
            Report = Report,
        };
        return options with { Networks = [new NetworkOptions(kind, address, network, port.Open)], OpenNetwork = Open };
    }

    private static INetworkPort Open(string network) => new NetworkPortOptions { Network = network, Report = Report }.Open();

    private static void Report(string line) => Console.Error.WriteLine($"sharpvisor: {line}");

    private static NetworkCardKind Kind(string? text, bool integration) => text switch
    {
        null => integration ? NetworkCardKind.Synthetic : NetworkCardKind.Legacy,
        "synthetic" => NetworkCardKind.Synthetic,
        "legacy" => NetworkCardKind.Legacy,
        _ => throw new VmConfigurationException($"--nic {text}: must be synthetic or legacy"),
    };

    private static MacAddress Address(string? text) => text is null
        ? MacAddress.NewDynamic()
        : MacAddress.TryParse(text, out MacAddress address)
            ? address
            : throw new VmConfigurationException($"--mac {text}: not the address of a card, such as 00:15:5d:01:02:03");
}

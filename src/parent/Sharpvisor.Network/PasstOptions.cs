// How the guest's private network looks: fixed, so that the host is always found at the same address.
using System.Globalization;

namespace Sharpvisor.Network;

/// <summary>What one passt process is asked for.</summary>
public sealed record PasstOptions
{
    /// <summary>The guest's address by DHCP, in a network of 24 bits.</summary>
    public const string GuestAddress = "10.0.2.15";

    /// <summary>The guest's default gateway. Connections to it reach the host's loopback.</summary>
    public const string HostAddress = "10.0.2.2";

    /// <summary>The MTU by DHCP (option 26); 0: none is offered.</summary>
    public int Mtu { get; init; }

    public IReadOnlyList<PortForward> Forwards { get; init; } = [];

    /// <param name="descriptor">The socket's number in passt.</param>
    internal IReadOnlyList<string> ToArguments(int descriptor)
    {
        List<string> arguments =
        [
            "--foreground", "--quiet", "--fd", descriptor.ToString(CultureInfo.InvariantCulture),
            "--address", GuestAddress, "--netmask", "255.255.255.0", "--gateway", HostAddress,
            "--mtu", Mtu.ToString(CultureInfo.InvariantCulture),
        ];
        foreach (PortForward forward in Forwards)
        {
            arguments.Add(forward.Udp ? "--udp-ports" : "--tcp-ports");
            arguments.Add(string.Create(CultureInfo.InvariantCulture, $"{forward.HostAddress}/{forward.HostPort}:{forward.GuestPort}"));
        }

        return arguments;
    }
}

// What a network card can be plugged into, as the command line names it, and the port that comes of it.
using Sharpvisor.Core;
using Sharpvisor.Network;

namespace Sharpvisor.Worker;

/// <summary>One network a user asked for: <c>user</c>, <c>tap=NAME</c> or <c>switch=PATH</c>, with what belongs to it.</summary>
public sealed record NetworkPortOptions
{
    private const string Tap = "tap=";
    private const string Switch = "switch=";

    /// <summary>The choices, for messages.</summary>
    public const string Choices = "user, tap=NAME, switch=PATH or none";

    /// <summary>As the user named it.</summary>
    public required string Network { get; init; }

    /// <summary>Ports of the host that lead to the guest, each <c>tcp|udp:[ADDRESS:]HOST:GUEST</c>; for <c>user</c> only.</summary>
    public IReadOnlyList<string> Forwards { get; init; } = [];

    /// <summary>A file that gets every frame.</summary>
    public string? CapturePath { get; init; }

    /// <summary>The MTU that <c>user</c>'s DHCP offers; 0: none.</summary>
    public int Mtu { get; init; }

    /// <summary>Gets a line when a network is lost while its VM runs.</summary>
    public Action<string> Report { get; init; } = _ => { };

    /// <summary>Whether a text names a network.</summary>
    public static bool IsNetwork(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text == "user"
            || (text.StartsWith(Tap, StringComparison.Ordinal) && text.Length > Tap.Length)
            || (text.StartsWith(Switch, StringComparison.Ordinal) && text.Length > Switch.Length);
    }

    /// <summary>Whether a text is a port forward.</summary>
    public static bool IsForward(string text) => PortForward.TryParse(text, out _);

    /// <summary>Makes the port; its user disposes of it.</summary>
    /// <exception cref="VmConfigurationException">The network cannot be used.</exception>
    public INetworkPort Open()
    {
        PcapWriter? capture = null;
        try
        {
            capture = CapturePath is null ? null : new PcapWriter(CapturePath);
            INetworkPort port = OpenNetwork();
            return capture is null ? port : new CapturePort(port, capture);
        }
        catch (NetworkException e)
        {
            capture?.Dispose();
            throw new VmConfigurationException(e.Message);
        }
    }

    private INetworkPort OpenNetwork()
    {
        if (Network == "user")
        {
            var forwards = new List<PortForward>();
            foreach (string text in Forwards)
            {
                forwards.Add(PortForward.TryParse(text, out PortForward? forward)
                    ? forward!
                    : throw new NetworkException($"--forward {text}: not tcp:HOSTPORT:GUESTPORT or udp:HOSTPORT:GUESTPORT"));
            }

            return new PasstPort(new PasstOptions { Mtu = Mtu, Forwards = forwards }, Report);
        }

        if (Forwards.Count > 0)
        {
            throw new NetworkException($"--forward {Forwards[0]}: needs --net user");
        }

        return Network switch
        {
            _ when Network.StartsWith(Tap, StringComparison.Ordinal) => new TapPort(Network[Tap.Length..]),
            _ when Network.StartsWith(Switch, StringComparison.Ordinal) => new SharedSwitch(Network[Switch.Length..], Report),
            _ => throw new NetworkException($"--net {Network}: must be {Choices}"),
        };
    }
}

// One port of the host that leads to a port of the guest.
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Sharpvisor.Network;

/// <param name="Udp">False: TCP.</param>
/// <param name="HostAddress">The address of the host that listens.</param>
public sealed record PortForward(bool Udp, IPAddress HostAddress, int HostPort, int GuestPort)
{
    /// <summary>Parses <c>tcp:2222:22</c>, <c>udp:5353:53</c>, <c>tcp:0.0.0.0:2222:22</c>. Without an address it is the host's loopback.</summary>
    public static bool TryParse(string? text, out PortForward? forward)
    {
        forward = null;
        string[] parts = (text ?? string.Empty).Split(':');
        if (parts.Length is not (3 or 4) || parts[0] is not ("tcp" or "udp"))
        {
            return false;
        }

        IPAddress? address = IPAddress.Loopback;
        if ((parts.Length == 4 && (!IPAddress.TryParse(parts[1], out address) || address.AddressFamily != AddressFamily.InterNetwork))
            || !TryParsePort(parts[^2], out int host) || !TryParsePort(parts[^1], out int guest))
        {
            return false;
        }

        forward = new PortForward(parts[0] == "udp", address, host, guest);
        return true;
    }

    private static bool TryParsePort(string text, out int port) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out port) && port is >= 1 and <= 65535;
}

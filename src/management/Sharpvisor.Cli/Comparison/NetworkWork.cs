// The works of compare's network table: what the guest's netbench is asked to do.
using System.Globalization;

namespace Sharpvisor.Cli.Comparison;

/// <param name="Key">How the guest names it on the serial line.</param>
/// <param name="Kind">netbench's word for it.</param>
/// <param name="Amount">Bytes of a transfer, or a number of round trips or datagrams.</param>
internal sealed record NetworkWork(string Key, string Title, string Kind, long Amount)
{
    /// <summary>In the order they run.</summary>
    public static IReadOnlyList<NetworkWork> All { get; } =
    [
        new("net-out", "TCP, guest to host", "send", 48 << 20),
        new("net-in", "TCP, host to guest", "receive", 32 << 20),
        new("net-trip", "TCP, round trips of a byte", "pingpong", 1000),
        new("net-packets", "UDP, 64 bytes, guest to host", "udp", 20_000),
    ];

    /// <summary>The netbench command line after address and port.</summary>
    public string Arguments => string.Create(CultureInfo.InvariantCulture, $"{Kind} {Amount}");
}

// A network card's counters for --stats and for the guest's statistics OIDs.
using Sharpvisor.Core;

namespace Sharpvisor.Vsp.Network;

/// <summary>Counters named <c>network.NAME.…</c>. They outlive the guest's driver.</summary>
internal sealed class NetCounters(Statistics statistics, string name)
{
    /// <summary>Frames for the guest; a large segment is one.</summary>
    public Counter ReceiveFrames { get; } = statistics[$"network.{name}.rx_frames"];

    public Counter ReceiveBytes { get; } = statistics[$"network.{name}.rx_bytes"];

    /// <summary>Ring packets for the guest that carried them.</summary>
    public Counter ReceivePackets { get; } = statistics[$"network.{name}.rx_packets"];

    /// <summary>Frames the guest would have wanted, but could not get: too long, or malformed.</summary>
    public Counter ReceiveDropped { get; } = statistics[$"network.{name}.rx_dropped"];

    /// <summary>Times the card had no room for a frame.</summary>
    public Counter ReceiveRefused { get; } = statistics[$"network.{name}.rx_refused"];

    /// <summary>Frames from the guest; a large segment is one.</summary>
    public Counter TransmitFrames { get; } = statistics[$"network.{name}.tx_frames"];

    public Counter TransmitBytes { get; } = statistics[$"network.{name}.tx_bytes"];

    /// <summary>Ring packets of the guest that carried them.</summary>
    public Counter TransmitPackets { get; } = statistics[$"network.{name}.tx_packets"];

    public Counter TransmitLarge { get; } = statistics[$"network.{name}.tx_large"];

    public Counter TransmitDropped { get; } = statistics[$"network.{name}.tx_dropped"];
}

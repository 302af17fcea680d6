using System.Globalization;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Nic;

/// <summary>What <c>--stats</c> says about one card.</summary>
internal sealed class Dec21140Counters
{
    public Dec21140Counters(Statistics statistics, int index)
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"network.tulip{index}.");
        SentFrames = statistics[name + "tx_frames"];
        SentBytes = statistics[name + "tx_bytes"];
        ReceivedFrames = statistics[name + "rx_frames"];
        ReceivedBytes = statistics[name + "rx_bytes"];
        Missed = statistics[name + "rx_missed"];
        Interrupts = statistics[name + "interrupts"];
    }

    public Counter SentFrames { get; }

    public Counter SentBytes { get; }

    public Counter ReceivedFrames { get; }

    public Counter ReceivedBytes { get; }

    public Counter Missed { get; }

    public Counter Interrupts { get; }
}

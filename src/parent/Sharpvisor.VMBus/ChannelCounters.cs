// A channel's counters for --stats. They outlive the open, so that a device's numbers add up over driver reloads.
using Sharpvisor.Core;

namespace Sharpvisor.VMBus;

/// <summary>Counters named <c>vmbus.NAME.…</c>, or <c>vmbus.NAME-N.…</c> for subchannel N.</summary>
internal sealed class ChannelCounters
{
    public ChannelCounters(Statistics statistics, string device, ushort subchannel)
    {
        string prefix = subchannel == 0 ? $"vmbus.{device}." : $"vmbus.{device}-{subchannel}.";
        PacketsIn = statistics[prefix + "packets_in"];
        PacketsOut = statistics[prefix + "packets_out"];
        BytesIn = statistics[prefix + "bytes_in"];
        BytesOut = statistics[prefix + "bytes_out"];
        Signals = statistics[prefix + "signals"];
        Interrupts = statistics[prefix + "interrupts"];
        RingFull = statistics[prefix + "ring_full"];
        Faults = statistics[prefix + "faults"];
    }

    /// <summary>Packets from the guest.</summary>
    public Counter PacketsIn { get; }

    /// <summary>Packets to the guest.</summary>
    public Counter PacketsOut { get; }

    /// <summary>Payload bytes from the guest (headers and padding included).</summary>
    public Counter BytesIn { get; }

    public Counter BytesOut { get; }

    /// <summary>HvCallSignalEvent on the channel's connection.</summary>
    public Counter Signals { get; }

    /// <summary>Event flags set for the guest.</summary>
    public Counter Interrupts { get; }

    /// <summary>Writes that found the host-to-guest ring full.</summary>
    public Counter RingFull { get; }

    /// <summary>Rings given up because the guest (or the VSP) broke them.</summary>
    public Counter Faults { get; }
}

namespace Sharpvisor.Worker;

/// <summary>Prefixes of the counters in <see cref="Core.Statistics"/> that other programs may rely on.</summary>
public static class StatisticNames
{
    /// <summary>Guest exits into the worker, by kind and port range.</summary>
    public const string Intercepts = "intercepts.";

    /// <summary>By hypercall code.</summary>
    public const string Hypercalls = "hypercalls.";

    /// <summary>Counters of VMBus: <c>vmbus.CHANNEL.signals</c> and so on.</summary>
    public const string VmBus = "vmbus.";

    /// <summary>Last part of a channel's count of HvCallSignalEvent from the guest to a VSP.</summary>
    public const string Signals = ".signals";

    /// <summary>Interrupts injected into VPs.</summary>
    public const string Interrupts = "interrupts.";
}

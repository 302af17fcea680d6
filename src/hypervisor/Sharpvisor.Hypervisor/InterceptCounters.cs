// The counters behind --stats that VP threads increment: looked up by name once, indexed afterwards.
using System.Globalization;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed class InterceptCounters
{
    private readonly Statistics _statistics;
    private readonly Counter?[] _ports = new Counter?[65536];
    private readonly Counter?[] _hypercalls = new Counter?[256];
    private readonly Counter _otherHypercalls;

    public InterceptCounters(Statistics statistics)
    {
        _statistics = statistics;
        MmioApic = statistics["intercepts.mmio.apic"];
        MmioDevice = statistics["intercepts.mmio.device"];
        MsrApic = statistics["intercepts.msr.apic"];
        MsrSynthetic = statistics["intercepts.msr.synthetic"];
        MsrOther = statistics["intercepts.msr.other"];
        Cpuid = statistics["intercepts.cpuid"];
        Halt = statistics["intercepts.halt"];
        Interrupts = statistics["interrupts.delivered"];
        Messages = statistics["synic.messages"];
        Events = statistics["synic.events"];
        TimerExpirations = statistics["synic.timers"];
        DiscardedPages = statistics["memory.discarded_pages"];
        _otherHypercalls = statistics["hypercalls.other"];
    }

    public Counter MmioApic { get; }

    public Counter MmioDevice { get; }

    public Counter MsrApic { get; }

    public Counter MsrSynthetic { get; }

    public Counter MsrOther { get; }

    public Counter Cpuid { get; }

    public Counter Halt { get; }

    public Counter Interrupts { get; }

    public Counter Messages { get; }

    /// <summary>Pages that free page reports gave back to the host.</summary>
    public Counter DiscardedPages { get; }

    public Counter Events { get; }

    public Counter TimerExpirations { get; }

    public void CountPort(ushort port)
    {
        Counter counter = _ports[port] ??= Port(port);
        counter.Increment();
    }

    public void CountHypercall(ushort code)
    {
        if (code >= _hypercalls.Length || HypercallNames.Of(code) == null)
        {
            // A guest must not be able to create counters at will.
            _otherHypercalls.Increment();
            return;
        }

        Counter counter = _hypercalls[code] ??= _statistics["hypercalls." + HypercallNames.Of(code)];
        counter.Increment();
    }

    private Counter Port(ushort port) =>
        _statistics["intercepts.port.0x" + port.ToString("x", CultureInfo.InvariantCulture)];
}

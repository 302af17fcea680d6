// What the engine asks of the hypervisor: ports and MMIO go to the worker's device bus, the APIC and the synthetic
// registers are answered here. Each intercept is counted, and traced when somebody listens.
using System.Globalization;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

public sealed partial class VirtualProcessor : IVpIntercepts
{
    private const uint MsrApicBase = 0x1B;
    private const uint MsrTscDeadline = 0x6E0;
    private const uint MsrX2First = 0x800;
    private const uint MsrX2Last = 0x8FF;
    private readonly SyntheticMsr? _synthetic;
    private readonly HypercallDispatcher? _hypercalls;

    /// <inheritdoc/>
    byte IVpIntercepts.Cr8
    {
        get => (byte)(Apic.Tpr >> 4);
        set => Apic.Tpr = (byte)(value << 4);
    }

    /// <inheritdoc/>
    uint IVpIntercepts.ReadPort(ushort port, int bytes)
    {
        _counters.CountPort(port);
        uint value = _partition.Handler.ReadPort(port, bytes);
        if (_partition.IsTracing)
        {
            TraceAccess("in", port, bytes, value);
        }

        return value;
    }

    /// <inheritdoc/>
    void IVpIntercepts.WritePort(ushort port, int bytes, uint value)
    {
        _counters.CountPort(port);
        if (_partition.IsTracing)
        {
            TraceAccess("out", port, bytes, value);
        }

        _partition.Handler.WritePort(port, bytes, value);
    }

    /// <inheritdoc/>
    int IVpIntercepts.ReadPortString(ushort port, int bytes, Span<byte> destination)
    {
        int done = _partition.Handler.ReadPortString(port, bytes, destination);
        if (done > 0)
        {
            _counters.CountPort(port);
            if (_partition.IsTracing)
            {
                TraceAccess("ins", port, bytes, (ulong)done);
            }
        }

        return done;
    }

    /// <inheritdoc/>
    int IVpIntercepts.WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source)
    {
        int done = _partition.Handler.WritePortString(port, bytes, source);
        if (done > 0)
        {
            _counters.CountPort(port);
            if (_partition.IsTracing)
            {
                TraceAccess("outs", port, bytes, (ulong)done);
            }
        }

        return done;
    }

    /// <inheritdoc/>
    ulong IVpIntercepts.ReadMmio(ulong gpa, int bytes)
    {
        ulong value;
        if (gpa - Apic.MmioBase < GuestMemory.PageBytes && Apic.IsMmioEnabled)
        {
            _counters.MmioApic.Increment();
            value = Apic.ReadMmio((uint)(gpa & 0xFFF), bytes);
        }
        else
        {
            _counters.MmioDevice.Increment();
            value = _partition.Handler.ReadMmio(gpa, bytes);
        }

        if (_partition.IsTracing)
        {
            TraceAccess("read", gpa, bytes, value);
        }

        return value;
    }

    /// <inheritdoc/>
    void IVpIntercepts.WriteMmio(ulong gpa, int bytes, ulong value)
    {
        if (_partition.IsTracing)
        {
            TraceAccess("write", gpa, bytes, value);
        }

        if (gpa - Apic.MmioBase < GuestMemory.PageBytes && Apic.IsMmioEnabled)
        {
            _counters.MmioApic.Increment();
            Apic.WriteMmio((uint)(gpa & 0xFFF), bytes, value);
            return;
        }

        _counters.MmioDevice.Increment();
        if ((_partition.Memory.PageEntry(gpa >> GuestMemory.PageShift) & (ulong)PageFlags.Overlay) == 0)
        {
            // A write to a read-only overlay (hypercall page, reference TSC page) is dropped; no device lies below it.
            _partition.Handler.WriteMmio(gpa, bytes, value);
        }
    }

    /// <inheritdoc/>
    bool IVpIntercepts.TryReadMsr(uint msr, out ulong value)
    {
        bool known;
        switch (msr)
        {
            case MsrApicBase:
                _counters.MsrApic.Increment();
                value = Apic.Base;
                known = true;
                break;
            case MsrTscDeadline:
                _counters.MsrApic.Increment();
                value = Apic.TscDeadline;
                known = true;
                break;
            case >= MsrX2First and <= MsrX2Last:
                _counters.MsrApic.Increment();
                known = Apic.TryReadMsr(msr, out value);
                break;
            case >= SyntheticMsr.First and <= SyntheticMsr.Last when _synthetic != null:
                _counters.MsrSynthetic.Increment();
                known = _synthetic.TryRead(msr, out value);
                break;
            default:
                _counters.MsrOther.Increment();
                value = 0;
                known = false;
                break;
        }

        if (_partition.IsTracing)
        {
            TraceAccess(known ? "rdmsr" : "rdmsr #GP", msr, 8, value);
        }

        return known;
    }

    /// <inheritdoc/>
    bool IVpIntercepts.TryWriteMsr(uint msr, ulong value)
    {
        bool known;
        switch (msr)
        {
            case MsrApicBase:
                _counters.MsrApic.Increment();
                known = Apic.TrySetBase(value, _partition.CpuidModel.PhysicalAddressBits(_engine));
                break;
            case MsrTscDeadline:
                _counters.MsrApic.Increment();
                Apic.WriteTscDeadline(value);
                known = true;
                break;
            case >= MsrX2First and <= MsrX2Last:
                _counters.MsrApic.Increment();
                known = Apic.TryWriteMsr(msr, value);
                break;
            case >= SyntheticMsr.First and <= SyntheticMsr.Last when _synthetic != null:
                _counters.MsrSynthetic.Increment();
                known = _synthetic.TryWrite(msr, value);
                break;
            default:
                _counters.MsrOther.Increment();
                known = false;
                break;
        }

        if (_partition.IsTracing)
        {
            TraceAccess(known ? "wrmsr" : "wrmsr #GP", msr, 8, value);
        }

        return known;
    }

    /// <inheritdoc/>
    CpuidResult IVpIntercepts.Cpuid(uint leaf, uint subleaf)
    {
        _counters.Cpuid.Increment();
        return _partition.CpuidModel.Read(_engine, Apic, Index, leaf, subleaf);
    }

    /// <inheritdoc/>
    bool IVpIntercepts.Hypercall() => _hypercalls != null && _hypercalls.Call();

    /// <inheritdoc/>
    ulong IVpIntercepts.ReadTsc() => (ulong)_partition.Clock.Nanoseconds;

    /// <inheritdoc/>
    int IVpIntercepts.AcknowledgeInterrupt()
    {
        if (LatchSecondNmi())
        {
            // The NMI goes first; then the engine asks again.
            _engine.Kick(VpEvents.Interrupt);
            return -1;
        }

        int vector = Apic.Acknowledge();
        if (vector >= 0)
        {
            _counters.Interrupts.Increment();
            if (_partition.IsTracing)
            {
                Trace(string.Create(CultureInfo.InvariantCulture, $"interrupt 0x{vector:x2}"));
            }
        }

        return vector;
    }

    internal bool IsTracing => _partition.IsTracing;

    internal void Trace(string text) =>
        _partition.TraceSink!.Line(string.Create(CultureInfo.InvariantCulture, $"{_partition.Clock.Nanoseconds} vp{Index} {text}"));

    private void TraceAccess(string kind, ulong address, int bytes, ulong value) =>
        Trace(string.Create(CultureInfo.InvariantCulture, $"{kind} 0x{address:x} {bytes} 0x{value:x}"));
}

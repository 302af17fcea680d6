// The board's ISA interrupt wires: each goes to the 8259 pair and to the IOAPIC. The timer's IRQ 0 is on IOAPIC pin 2,
// because pin 0 is the 8259's own output (Multiprocessor Specification 1.4, 3.6.2.3; the MADT has the override).
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Fans interrupt wires out to both interrupt controllers. A wire is the OR of its sources.</summary>
public sealed class InterruptRouter
{
    public const int IsaLineCount = 16;

    /// <summary>The IOAPIC pin of ISA IRQ 0.</summary>
    public const int TimerGsi = 2;

    private readonly Pic8259Pair _pic;
    private readonly IoApic _ioApic;
    private readonly int[] _asserted = new int[IoApic.PinCount];
    private readonly Lock _lock = new();

    internal InterruptRouter(Pic8259Pair pic, IoApic ioApic)
    {
        _pic = pic;
        _ioApic = ioApic;
    }

    /// <summary>A new source on an ISA interrupt (0..15). Thread-safe; sources of one interrupt are ORed.</summary>
    public IInterruptLine CreateIsaLine(int irq)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)irq, (uint)IsaLineCount - 1, nameof(irq));
        return new Line(this, irq);
    }

    /// <summary>A new source on an IOAPIC pin that no ISA interrupt uses (16..23).</summary>
    public IInterruptLine CreateGsiLine(int gsi)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(gsi, IsaLineCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(gsi, IoApic.PinCount);
        return new Line(this, gsi);
    }

    private void Change(int wire, int by)
    {
        int old = _asserted[wire];
        int now = _asserted[wire] = old + by;
        if (old > 0 == now > 0)
        {
            return;
        }

        if (wire < IsaLineCount)
        {
            _pic.SetLine(wire, now > 0);
        }

        // IOAPIC pin 0 is left unconnected and IRQ 2 is the cascade.
        if (wire != 2)
        {
            _ioApic.SetPin(wire == 0 ? TimerGsi : wire, now > 0);
        }
    }

    private sealed class Line(InterruptRouter router, int wire) : IInterruptLine
    {
        private int _level;

        public void Set(bool asserted)
        {
            int level = asserted ? 1 : 0;

            // The lock keeps level changes of one wire in order on both controllers, and nobody finds a level already set that has
            // not reached them: a second processor that lowers a line and ends its interrupt would get it again. The controllers
            // call out to the APIC bus only after leaving their own locks, and never call back into a device.
            lock (router._lock)
            {
                if (_level != level)
                {
                    router.Change(wire, level - _level);
                    _level = level;
                }
            }
        }
    }
}

// INTA..INTD of every slot onto PIRQA..PIRQD, and those through the PIIX4's PIRQRC registers onto ISA interrupts
// (Intel 82371AB datasheet, 4.1.10). Many pins share one PIRQ: the wire is the OR of its sources.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Pci;

/// <summary>Routes PCI interrupt pins.</summary>
internal sealed class PciInterruptRouting
{
    public const int PirqCount = 4;

    private readonly IInterruptLine[][] _isaLines = new IInterruptLine[PirqCount][];
    private readonly byte[] _routes = new byte[PirqCount];
    private readonly int[] _asserted = new int[PirqCount];
    private readonly Lock _lock = new();

    public PciInterruptRouting(InterruptRouter router)
    {
        for (int pirq = 0; pirq < PirqCount; pirq++)
        {
            _isaLines[pirq] = new IInterruptLine[InterruptRouter.IsaLineCount];
            for (int irq = 0; irq < InterruptRouter.IsaLineCount; irq++)
            {
                _isaLines[pirq][irq] = router.CreateIsaLine(irq);
            }

            _routes[pirq] = 0x80;
        }
    }

    /// <summary>The PIRQ (0..3) a slot's pin (1..4) is wired to; the DSDT's _PRT says the same.</summary>
    public static int PirqOf(int device, int pin) => (device + pin - 1) & 3;

    public IInterruptLine CreatePin(int device, int pin) => new Pin(this, PirqOf(device, pin));

    /// <param name="pirq">0..3.</param>
    /// <param name="register">PIRQRC: bit 7 disables the route, bits 3..0 are the ISA interrupt.</param>
    public void SetRoute(int pirq, byte register)
    {
        lock (_lock)
        {
            Drive(pirq, false);
            _routes[pirq] = register;
            Drive(pirq, _asserted[pirq] > 0);
        }
    }

    private void Change(int pirq, int by)
    {
        lock (_lock)
        {
            _asserted[pirq] += by;
            Drive(pirq, _asserted[pirq] > 0);
        }
    }

    private void Drive(int pirq, bool asserted)
    {
        byte route = _routes[pirq];
        if ((route & 0x80) == 0)
        {
            _isaLines[pirq][route & 15].Set(asserted);
        }
    }

    private sealed class Pin(PciInterruptRouting routing, int pirq) : IInterruptLine
    {
        private int _level;

        public void Set(bool asserted)
        {
            int level = asserted ? 1 : 0;
            int old = Interlocked.Exchange(ref _level, level);
            if (old != level)
            {
                routing.Change(pirq, level - old);
            }
        }
    }
}

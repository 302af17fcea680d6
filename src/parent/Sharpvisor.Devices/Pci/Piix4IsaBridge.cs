// The PCI-to-ISA bridge of the PIIX4 (Intel 82371AB datasheet, chapter 4): PIRQ routing, port 0x92 (A20 and fast reset)
// and the reset control register at 0xCF9.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Pci;

/// <summary>00:07.0, 8086:7110.</summary>
internal sealed class Piix4IsaBridge : PciFunction, IPortDevice
{
    public const int Slot = 7;

    /// <summary>PIRQRC[A:D].</summary>
    public const int PirqRoute = 0x60;

    private const ushort Port92 = 0x92;
    private const ushort ResetControl = 0xCF9;
    private const byte ResetCpu = 4;

    private readonly PciInterruptRouting _routing;
    private readonly IPowerControl _power;
    private byte _port92 = 2;
    private byte _resetControl;

    public Piix4IsaBridge(IDeviceBus bus, PciInterruptRouting routing, IPowerControl power)
        : base(Slot, 0, new PciIdentity(0x8086, 0x7110, 0x060100, Revision: 1, MultiFunction: true))
    {
        _routing = routing;
        _power = power;
        Set16(PciConfig.Command, 0x0007);
        AllowWrites16(PciConfig.Command, 0x0108);
        Set16(PciConfig.Status, 0x0280);
        AllowWrites(PciConfig.InterruptLine, 0);
        Set8(0x4C, 0x4D);
        Set8(0x4E, 0x03);
        for (int offset = 0x4C; offset < 0x100; offset++)
        {
            AllowWrites(offset, 0xFF);
        }

        for (int pirq = 0; pirq < PciInterruptRouting.PirqCount; pirq++)
        {
            Set8(PirqRoute + pirq, 0x80);
            AllowWrites(PirqRoute + pirq, 0x8F);
        }

        bus.MapPorts(Port92, 1, this);
        bus.MapPorts(ResetControl, 1, this);
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes)
    {
        lock (ConfigLock)
        {
            return port == Port92 ? _port92 : _resetControl;
        }
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        bool reset;
        lock (ConfigLock)
        {
            if (port == Port92)
            {
                // Bit 0's rising edge pulses INIT. Bit 1 is A20, which is always open here.
                reset = (value & ~_port92 & 1) != 0;
                _port92 = (byte)(value & 3);
            }
            else
            {
                // 4.3.7: the rising edge of bit 2 resets, softly or hard.
                reset = (value & ~_resetControl & ResetCpu) != 0;
                _resetControl = (byte)(value & 2);
            }
        }

        if (reset)
        {
            _power.Reset();
        }
    }

    protected override void ConfigWritten(int offset, int bytes)
    {
        for (int pirq = 0; pirq < PciInterruptRouting.PirqCount; pirq++)
        {
            if (offset <= PirqRoute + pirq && offset + bytes > PirqRoute + pirq)
            {
                _routing.SetRoute(pirq, Get8(PirqRoute + pirq));
            }
        }
    }

    protected override void OnReset()
    {
        _port92 = 2;
        _resetControl = 0;
    }
}

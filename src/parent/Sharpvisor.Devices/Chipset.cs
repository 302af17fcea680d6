// The whole Generation 1 board: creates its devices and wires them, and plays firmware's part for direct boot.
using System.Buffers.Binary;
using Sharpvisor.Core;
using Sharpvisor.Devices.Acpi;
using Sharpvisor.Devices.Pci;

namespace Sharpvisor.Devices;

/// <summary>i440BX and PIIX4, with everything a Generation 1 virtual machine has on them but its disks and network cards.</summary>
public sealed class Chipset : IDisposable
{
    private readonly ChipsetOptions _options;
    private readonly GuestMemory _memory;
    private readonly Pic8259Pair _pic;
    private readonly IoApic _ioApic;
    private readonly Pit8254 _pit;
    private readonly CmosRtc _rtc;
    private readonly Piix4PowerManagement _power;

    /// <summary>Creates the board. Add further PCI functions to <see cref="PciBus"/>, then call <see cref="RunFirmware"/>.</summary>
    public Chipset(
        ChipsetOptions options,
        GuestMemory memory,
        IDeviceBus bus,
        IApicBus apicBus,
        ITimerService timers,
        IPowerControl power)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(apicBus);
        ArgumentNullException.ThrowIfNull(timers);
        _options = options;
        _memory = memory;
        _pic = new Pic8259Pair(bus, apicBus);
        _ioApic = new IoApic(bus, apicBus);
        InterruptRouter = new InterruptRouter(_pic, _ioApic);
        var routing = new PciInterruptRouting(InterruptRouter);
        PciBus = new PciBus(bus, routing);
        _pit = new Pit8254(bus, timers, InterruptRouter.CreateIsaLine(0));
        _rtc = new CmosRtc(
            bus, timers, InterruptRouter.CreateIsaLine(8), options.HostTime, memory.LowRamBytes, memory.HighRamBytes);
        Com1 = new Uart16550(bus, 0x3F8, InterruptRouter.CreateIsaLine(4), options.Com1Output);
        Com2 = new Uart16550(bus, 0x2F8, InterruptRouter.CreateIsaLine(3), options.Com2Output);
        Keyboard = new I8042(bus, InterruptRouter.CreateIsaLine(1), InterruptRouter.CreateIsaLine(12), power);
        PciBus.Add(new I440BxHostBridge());
        PciBus.Add(new Piix4IsaBridge(bus, routing, power));
        _power = new Piix4PowerManagement(bus, timers, InterruptRouter.CreateIsaLine(9), power);
        PciBus.Add(_power);
        if (options.DebugExit)
        {
            _ = new DebugExit(bus, power);
        }

        if (options.FwCfg)
        {
            _ = new FwCfg(bus, memory.LowRamBytes + memory.HighRamBytes, options.Processors);
        }

        if (options.TestDevices)
        {
            _ = new TestDevices(bus, InterruptRouter);
        }

        // No display adapter: accesses to its memory reach nobody.
        memory.Unmap(PlatformLayout.VgaGpa, PlatformLayout.VgaBytes);
    }

    public PciBus PciBus { get; }

    public InterruptRouter InterruptRouter { get; }

    public Uart16550 Com1 { get; }

    public Uart16550 Com2 { get; }

    public I8042 Keyboard { get; }

    /// <summary>The PIC pair's acknowledge cycle, for local APICs in virtual wire mode.</summary>
    public IExternalInterruptSource ExternalInterruptSource => _pic;

    /// <summary>
    /// Does what firmware does before it boots: assigns PCI resources and interrupt routes, places the power management
    /// ports, and writes ACPI tables, SMBIOS and the BIOS data area into guest memory. Call once all functions are added,
    /// and again after <see cref="Reset"/>.
    /// </summary>
    public void RunFirmware()
    {
        PciFunction isa = PciBus.Find(Piix4IsaBridge.Slot, 0)!;
        for (int pirq = 0; pirq < PciInterruptRouting.PirqCount; pirq++)
        {
            isa.WriteConfig(Piix4IsaBridge.PirqRoute + pirq, 1, Dsdt.PirqInterrupts[pirq]);
        }

        PciFunction power = PciBus.Find(Piix4IsaBridge.Slot, 3)!;
        power.WriteConfig(0x40, 4, Piix4PowerManagement.DefaultBase | 1u);
        power.WriteConfig(0x80, 1, 1);
        power.WriteConfig(PciConfig.InterruptLine, 1, 9);
        PciResources.Assign(PciBus, Dsdt.PirqInterrupts);

        FirmwareIdentity identity = _options.Integration ? FirmwareIdentity.HyperV : FirmwareIdentity.Neutral;
        _memory.TryWrite(PlatformLayout.BiosGpa, new byte[PlatformLayout.BiosBytes]);
        new AcpiTables(identity, _options.Processors, _options.Integration).Write(_memory);
        Smbios.Write(_memory, identity, _options.VmId, _options.Processors);
        WriteBiosDataArea();
        BiosServices.Write(_memory);
        BiosServices.Start(_pic, _pit);
    }

    /// <summary>Resets every device, as the machine's RESET# line does. VPs must be stopped.</summary>
    public void Reset()
    {
        PciBus.Reset();
        _ioApic.Reset();
        _pic.Reset();
        _pit.Reset();
        _rtc.Reset();
        Com1.Reset();
        Com2.Reset();
        Keyboard.Reset();
    }

    /// <summary>Presses the power button. False when the guest does not listen to it.</summary>
    public bool PressPowerButton() => _power.PressPowerButton();

    /// <inheritdoc/>
    public void Dispose()
    {
        Com1.CutOutput();
        Com2.CutOutput();
        _pit.Dispose();
        _rtc.Dispose();
        _power.Dispose();
    }

    /// <summary>The words of the BIOS data area that operating systems still read (arch/x86/kernel/ebda.c).</summary>
    private void WriteBiosDataArea()
    {
        byte[] area = new byte[0x100];
        void Put(int offset, int value) => BinaryPrimitives.WriteUInt16LittleEndian(area.AsSpan(offset), (ushort)value);
        Put(0x00, 0x3F8);
        Put(0x02, 0x2F8);
        Put(0x0E, (int)(PlatformLayout.EbdaGpa >> 4));
        Put(0x10, 0x0406);
        Put(0x13, (int)(PlatformLayout.EbdaGpa >> 10));
        _memory.TryWrite(0x400, area);
        // The EBDA's first byte is its size in KiB.
        byte[] ebda = new byte[0x400];
        ebda[0] = 1;
        _memory.TryWrite(PlatformLayout.EbdaGpa, ebda);
    }
}

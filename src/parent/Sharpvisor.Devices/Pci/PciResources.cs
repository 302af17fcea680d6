// What a PCI BIOS does at power-on: sizes every BAR and gives it an address, and tells functions their interrupt
// (PCI Local Bus Specification 3.0, 6.2.5.1).
namespace Sharpvisor.Devices.Pci;

/// <summary>Assigns I/O ports, memory and interrupt lines to the functions on a bus.</summary>
internal static class PciResources
{
    private const uint FirstPort = 0xC000;
    private const uint LastPort = 0xFFFF;

    public static void Assign(PciBus bus, byte[] pirqInterrupts)
    {
        uint port = FirstPort;
        uint memory = PlatformLayout.PciWindowFirst;
        for (int index = 0; index < 256; index++)
        {
            if (bus.Find(index >> 3, index & 7) is not { } function)
            {
                continue;
            }

            uint command = function.ReadConfig(PciConfig.Command, 2);
            for (int bar = 0; bar < 6; bar++)
            {
                command |= AssignBar(function, PciConfig.Bar0 + (4 * bar), ref port, ref memory);
            }

            function.WriteConfig(PciConfig.Command, 2, command);
            if (function.ReadConfig(PciConfig.InterruptPin, 1) is >= 1 and <= 4 and uint pin)
            {
                byte irq = pirqInterrupts[PciInterruptRouting.PirqOf(function.Device, (int)pin)];
                function.WriteConfig(PciConfig.InterruptLine, 1, irq);
            }
        }
    }

    /// <returns>The command bit that makes the BAR decode; 0 when there is none, or no room.</returns>
    private static uint AssignBar(PciFunction function, int offset, ref uint port, ref uint memory)
    {
        function.WriteConfig(offset, 4, uint.MaxValue);
        uint sized = function.ReadConfig(offset, 4);
        function.WriteConfig(offset, 4, 0);
        bool isIo = (sized & 1) != 0;
        uint mask = isIo ? sized & 0xFFFC : sized & ~15u;
        if (mask == 0)
        {
            return 0;
        }

        // The lowest address bit that can be set is the size.
        uint size = mask & (~mask + 1);
        ref uint next = ref isIo ? ref port : ref memory;
        uint address = (next + size - 1) & ~(size - 1);
        if (address + size - 1 > (isIo ? LastPort : PlatformLayout.PciWindowLast))
        {
            return 0;
        }

        function.WriteConfig(offset, 4, address);
        next = address + size;
        return isIo ? PciConfig.CommandIo : PciConfig.CommandMemory;
    }
}

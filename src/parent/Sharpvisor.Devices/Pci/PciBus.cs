// PCI bus 0 and configuration mechanism 1: address port 0xCF8, data ports 0xCFC..0xCFF
// (PCI Local Bus Specification 3.0, 3.2.2.3.2). Port 0xCF9 belongs to the reset control register.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Pci;

/// <summary>The functions on bus 0, and the ports through which a guest configures them.</summary>
public sealed class PciBus : IPortDevice
{
    private const ushort AddressPort = 0xCF8;
    private const ushort DataPort = 0xCFC;
    private const uint Enable = 0x8000_0000;

    private readonly IDeviceBus _bus;
    private readonly PciInterruptRouting _routing;
    private readonly PciFunction?[] _functions = new PciFunction?[256];

    // CONFIG_ADDRESS is one register for the whole machine; guests serialise address and data themselves.
    private uint _address;

    internal PciBus(IDeviceBus bus, PciInterruptRouting routing)
    {
        _bus = bus;
        _routing = routing;
        bus.MapPorts(AddressPort, 1, this);
        bus.MapPorts(DataPort, 4, this);
    }

    /// <summary>Attaches a function: its BARs start to decode, its INTx pin gets its wire.</summary>
    /// <exception cref="InvalidOperationException">The slot and function are taken.</exception>
    public void Add(PciFunction function)
    {
        ArgumentNullException.ThrowIfNull(function);
        int index = (function.Device << 3) | function.Function;
        if (_functions[index] is not null)
        {
            throw new InvalidOperationException($"PCI function {function.Device:x2}.{function.Function} exists already");
        }

        int pin = function.ReadConfig(PciConfig.InterruptPin, 1) is >= 1 and <= 4 and uint p ? (int)p : 0;
        function.Attach(_bus, pin == 0 ? DisconnectedLine.Instance : _routing.CreatePin(function.Device, pin));
        _functions[index] = function;
    }

    public PciFunction? Find(int device, int function) => _functions[((device & 31) << 3) | (function & 7)];

    /// <summary>Resets every function, as RST# does.</summary>
    public void Reset()
    {
        Volatile.Write(ref _address, 0);
        foreach (PciFunction? function in _functions)
        {
            function?.Reset();
        }
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes)
    {
        if (port == AddressPort)
        {
            // Only a dword access reaches CONFIG_ADDRESS; narrower ones pass by.
            return bytes == 4 ? Volatile.Read(ref _address) : Ones(bytes);
        }

        return Selected() is { } function ? function.ReadConfig(Offset(port), Clip(port, bytes)) : Ones(bytes);
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        if (port == AddressPort)
        {
            if (bytes == 4)
            {
                Volatile.Write(ref _address, value & 0x80FF_FFFC);
            }

            return;
        }

        Selected()?.WriteConfig(Offset(port), Clip(port, bytes), value);
    }

    private PciFunction? Selected()
    {
        uint address = Volatile.Read(ref _address);
        bool bus0 = (address & Enable) != 0 && ((address >> 16) & 0xFF) == 0;
        return bus0 ? _functions[(address >> 8) & 0xFF] : null;
    }

    private int Offset(ushort port) => (int)(Volatile.Read(ref _address) & 0xFC) + (port - DataPort);

    private static int Clip(ushort port, int bytes) => Math.Min(bytes, DataPort + 4 - port);

    private static uint Ones(int bytes) => bytes == 4 ? uint.MaxValue : (1u << (8 * bytes)) - 1;
}

// The test guests' exit port, as qemu's isa-debug-exit has it (kvm-unit-tests lib/x86/io.c writes its result there).
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>A value v written to port 0xF4 ends the run with status (v &lt;&lt; 1) | 1.</summary>
public sealed class DebugExit : IPortDevice
{
    public const ushort Port = 0xF4;

    private readonly IPowerControl _power;

    public DebugExit(IDeviceBus bus, IPowerControl power)
    {
        ArgumentNullException.ThrowIfNull(bus);
        _power = power;
        bus.MapPorts(Port, 4, this);
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes) => 0;

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value) => _power.Exit((int)((value << 1) | 1));
}

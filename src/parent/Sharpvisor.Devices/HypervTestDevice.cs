// What kvm-unit-tests expect of qemu's hyperv-testdev (x86/hyperv.h, x86/hyperv_synic.c, x86/hyperv_connections.c): a command port
// that makes SINTs fire and connects HvCallPostMessage and HvCallSignalEvent back to SINTs of the guest itself.
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>A 32-bit write to port 0x3000: connection &lt;&lt; 24 | command &lt;&lt; 16 | VP &lt;&lt; 8 | SINT. Never part of an ordinary machine.</summary>
public sealed class HypervTestDevice : IPortDevice
{
    public const ushort Port = 0x3000;

    private readonly ISynicPorts _ports;
    private readonly ISintWires _wires;

    public HypervTestDevice(IDeviceBus bus, ISynicPorts ports, ISintWires wires)
    {
        ArgumentNullException.ThrowIfNull(bus);
        _ports = ports;
        _wires = wires;
        bus.MapPorts(Port, 4, this);
    }

    private enum Command : byte
    {
        CreateRoute = 1,
        DestroyRoute = 2,
        FireSint = 3,
        CreateMessageConnection = 4,
        DestroyMessageConnection = 5,
        CreateEventConnection = 6,
        DestroyEventConnection = 7,
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes) => 0;

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        if (port != Port || bytes != 4)
        {
            return;
        }

        byte sint = (byte)value;
        uint vp = (byte)(value >> 8);
        byte connection = (byte)(value >> 24);
        switch ((Command)(byte)(value >> 16))
        {
            case Command.FireSint:
                _ = _wires.AssertSint(vp, sint);
                break;
            case Command.CreateMessageConnection:
                _ports.OpenMessagePort(connection, (type, payload) =>
                    _ports.PostMessage(vp, sint, type, payload) ? (ushort)0 : InsufficientBuffers);
                break;
            case Command.CreateEventConnection:
                // The flag is the connection's number, as the tests look for it.
                _ports.OpenEventPort(connection, _ => _ports.SignalEvent(vp, sint, connection));
                break;
            case Command.DestroyMessageConnection:
            case Command.DestroyEventConnection:
                _ports.ClosePort(connection);
                break;
            default:
                // A route needs no preparation: every SINT of every VP can be reached.
                break;
        }
    }

    // TLFS "HV_STATUS": HV_STATUS_INSUFFICIENT_BUFFERS.
    private const ushort InsufficientBuffers = 0x13;
}

// The PC's two cascaded 8259A controllers at 0x20 and 0xA0, with the edge/level control registers of the PIIX4
// (Intel 82371AB datasheet, 4.2).
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Master and slave 8259A; IRQ 0..7 and 8..15.</summary>
public sealed class Pic8259Pair : IPortDevice, IExternalInterruptSource
{
    private const int SpuriousInput = 7;

    private readonly IApicBus _apicBus;
    private readonly Pic8259 _master = new(isMaster: true, elcrMask: 0xF8);
    private readonly Pic8259 _slave = new(isMaster: false, elcrMask: 0xDE);
    private readonly Lock _lock = new();
    private bool _output;
    private int _publishRequests;

    internal Pic8259Pair(IDeviceBus bus, IApicBus apicBus)
    {
        _apicBus = apicBus;
        bus.MapPorts(0x20, 2, this);
        bus.MapPorts(0xA0, 2, this);
        bus.MapPorts(0x4D0, 2, this);
    }

    public void Reset()
    {
        lock (_lock)
        {
            _master.Reset();
            _slave.Reset();
            Update();
        }

        Publish();
    }

    /// <summary>Drives an input. IRQ 2 is the cascade and has no outside wire.</summary>
    public void SetLine(int irq, bool asserted)
    {
        lock (_lock)
        {
            if (irq >= 8)
            {
                _slave.SetLine(irq - 8, asserted);
            }
            else if (irq != 2)
            {
                _master.SetLine(irq, asserted);
            }

            Update();
        }

        Publish();
    }

    /// <inheritdoc/>
    public byte AcknowledgeExternalInterrupt()
    {
        byte vector;
        lock (_lock)
        {
            int input = _master.Pending();
            if (input < 0)
            {
                // The request went away before INTA: IR7 without an ISR bit.
                vector = _master.Vector(SpuriousInput);
            }
            else
            {
                _master.Acknowledge(input);
                vector = input == 2 ? AcknowledgeSlave() : _master.Vector(input);
            }

            Update();
        }

        Publish();
        return vector;
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes)
    {
        uint value;
        lock (_lock)
        {
            value = ReadByte(port);
            if (bytes > 1)
            {
                value |= (uint)ReadByte((ushort)(port + 1)) << 8;
            }

            // A poll acknowledges.
            Update();
        }

        Publish();
        return value;
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        lock (_lock)
        {
            WriteByte(port, (byte)value);
            if (bytes > 1)
            {
                WriteByte((ushort)(port + 1), (byte)(value >> 8));
            }

            Update();
        }

        Publish();
    }

    private byte AcknowledgeSlave()
    {
        int input = _slave.Pending();
        if (input < 0)
        {
            return _slave.Vector(SpuriousInput);
        }

        _slave.Acknowledge(input);
        return _slave.Vector(input);
    }

    private byte ReadByte(ushort port) => port switch
    {
        0x20 or 0x21 => _master.Read(port & 1),
        0xA0 or 0xA1 => _slave.Read(port & 1),
        0x4D0 => _master.Elcr,
        0x4D1 => _slave.Elcr,
        _ => 0xFF,
    };

    private void WriteByte(ushort port, byte value)
    {
        switch (port)
        {
            case 0x20 or 0x21:
                _master.Write(port & 1, value);
                break;
            case 0xA0 or 0xA1:
                _slave.Write(port & 1, value);
                break;
            case 0x4D0:
                _master.Elcr = value;
                break;
            case 0x4D1:
                _slave.Elcr = value;
                break;
            default:
                break;
        }
    }

    private void Update()
    {
        _master.SetLine(2, _slave.Pending() >= 0);
        Volatile.Write(ref _output, _master.Pending() >= 0);
    }

    /// <summary>
    /// Tells the APIC bus the level of INTR, outside the lock: a local APIC may hold its own lock while it acknowledges.
    /// Whoever is already publishing does it again, so that the last level told is the current one.
    /// </summary>
    private void Publish()
    {
        if (Interlocked.Increment(ref _publishRequests) != 1)
        {
            return;
        }

        int seen;
        do
        {
            seen = Volatile.Read(ref _publishRequests);
            _apicBus.SetExternalInterrupt(Volatile.Read(ref _output));
        }
        while (Interlocked.Add(ref _publishRequests, -seen) != 0);
    }
}

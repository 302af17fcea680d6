// One base address register's place on the device bus (PCI Local Bus Specification 3.0, 6.2.5).
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Pci;

/// <summary>Maps and unmaps a BAR's registers as it moves. Port numbers reach the device relative to the BAR.</summary>
internal sealed class PciBar(uint bytes, IPortDevice? ports, IMmioDevice? memory)
{
    private uint _placedAt;

    /// <summary>What the guest sees there, in place of a device.</summary>
    public (GuestMemory Guest, SharedMemory Shared)? Memory { get; init; }

    public bool IsIo => ports is not null;

    /// <param name="bus">The device bus.</param>
    /// <param name="address">0: not decoded. A BAR cannot sit at address 0, nor wrap: guests write all ones to size it.</param>
    public void Place(IDeviceBus bus, uint address)
    {
        ulong limit = IsIo ? 0x1_0000UL : 0x1_0000_0000UL;
        if (address + (ulong)bytes >= limit)
        {
            address = 0;
        }

        if (address == _placedAt)
        {
            return;
        }

        if (_placedAt != 0)
        {
            if (Memory is { } placed)
            {
                placed.Guest.UnmapShared(_placedAt, placed.Shared);
            }
            else if (IsIo)
            {
                bus.UnmapPorts((ushort)_placedAt, (int)bytes);
            }
            else
            {
                bus.UnmapMmio(_placedAt, bytes);
            }
        }

        // RAM wins where a guest puts a BAR over it.
        _placedAt = Memory is { } at && address != 0 && !at.Guest.TryMapShared(address, at.Shared) ? 0 : address;
        if (_placedAt != 0 && Memory is null)
        {
            if (ports is not null)
            {
                bus.MapPorts((ushort)address, (int)bytes, new RelativePorts(ports, (ushort)address));
            }
            else
            {
                bus.MapMmio(address, bytes, memory!);
            }
        }
    }

    private sealed class RelativePorts(IPortDevice device, ushort first) : IPortDevice
    {
        public uint ReadPort(ushort port, int bytes) => device.ReadPort((ushort)(port - first), bytes);

        public void WritePort(ushort port, int bytes, uint value) => device.WritePort((ushort)(port - first), bytes, value);
    }
}

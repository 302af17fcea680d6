// QEMU's firmware configuration device (docs/specs/fw_cfg.rst in QEMU), traditional port interface only: multiboot test
// guests read the number of processors and the RAM size from it (kvm-unit-tests lib/x86/fwcfg.c).
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Selector at 0x510, data at 0x511.</summary>
public sealed class FwCfg : IPortDevice
{
    public const ushort SelectorPort = 0x510;

    private readonly Dictionary<ushort, byte[]> _items = [];
    private readonly Lock _lock = new();
    private byte[] _selected = [];
    private int _offset;

    public FwCfg(IDeviceBus bus, ulong ramBytes, int processors)
    {
        ArgumentNullException.ThrowIfNull(bus);
        // FW_CFG_SIGNATURE, FW_CFG_ID (traditional interface), FW_CFG_RAM_SIZE, FW_CFG_NOGRAPHIC, FW_CFG_NB_CPUS,
        // FW_CFG_MAX_CPUS, FW_CFG_FILE_DIR (empty). FW_CFG_MAX_RAM (0x11) reads 0, as on qemu: no limit.
        _items[0x00] = "QEMU"u8.ToArray();
        _items[0x01] = [1, 0, 0, 0];
        _items[0x03] = Number(ramBytes, 8);
        _items[0x04] = [1, 0];
        _items[0x05] = Number((ulong)processors, 2);
        _items[0x0F] = Number((ulong)processors, 2);
        _items[0x19] = [0, 0, 0, 0];
        bus.MapPorts(SelectorPort, 2, this);
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes)
    {
        if (port != SelectorPort + 1)
        {
            return 0;
        }

        lock (_lock)
        {
            // Beyond the item's end: zeros.
            return _offset < _selected.Length ? _selected[_offset++] : 0u;
        }
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        if (port != SelectorPort || bytes != 2)
        {
            return;
        }

        lock (_lock)
        {
            // Bit 14 is the (obsolete) write channel.
            _selected = _items.GetValueOrDefault((ushort)(value & 0xBFFF)) ?? [];
            _offset = 0;
        }
    }

    private static byte[] Number(ulong value, int bytes)
    {
        byte[] buffer = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(buffer, value);
        return buffer[..bytes];
    }
}

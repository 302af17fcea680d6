// What kvm-unit-tests expect of qemu's pc-testdev (kvm-unit-tests x86/emulator.c, x86/ioapic.c, lib/x86/vm.c): a latch, a
// page flush port, one port for each interrupt wire, and memory that is accessed as MMIO.
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Test devices; never part of an ordinary machine.</summary>
public sealed class TestDevices : IPortDevice, IMmioDevice
{
    private const ushort Latch = 0xE0;
    private const ushort FirstWire = 0x2000;
    private const ulong MemoryGpa = 0xFF00_0000;
    private const int MemoryBytes = 0x1_0000;

    private readonly IInterruptLine[] _wires = new IInterruptLine[IoApic.PinCount];
    private readonly byte[] _memory = new byte[MemoryBytes];
    private uint _latch;

    public TestDevices(IDeviceBus bus, InterruptRouter router)
    {
        ArgumentNullException.ThrowIfNull(bus);
        ArgumentNullException.ThrowIfNull(router);
        for (int i = 0; i < _wires.Length; i++)
        {
            _wires[i] = i < InterruptRouter.IsaLineCount ? router.CreateIsaLine(i) : router.CreateGsiLine(i);
        }

        // 0xE4..0xE7: a page's mapping is to be flushed. There is nothing to flush here, the write is enough.
        bus.MapPorts(Latch, 8, this);
        bus.MapPorts(FirstWire, IoApic.PinCount, this);
        bus.MapMmio(MemoryGpa, MemoryBytes, this);
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes) =>
        port is >= Latch and < Latch + 4 ? Volatile.Read(ref _latch) >> (8 * (port - Latch)) : 0;

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        if (port >= FirstWire)
        {
            _wires[port - FirstWire].Set(value != 0);
        }
        else if (port < Latch + 4)
        {
            int shift = 8 * (port - Latch);
            uint mask = (bytes == 4 ? uint.MaxValue : (1u << (8 * bytes)) - 1) << shift;
            Volatile.Write(ref _latch, (_latch & ~mask) | ((value << shift) & mask));
        }
    }

    /// <inheritdoc/>
    public ulong ReadMmio(ulong offset, int bytes)
    {
        Span<byte> value = stackalloc byte[8];
        _memory.AsSpan((int)offset, bytes).CopyTo(value);
        return BinaryPrimitives.ReadUInt64LittleEndian(value);
    }

    /// <inheritdoc/>
    public void WriteMmio(ulong offset, int bytes, ulong value)
    {
        Span<byte> source = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(source, value);
        source[..bytes].CopyTo(_memory.AsSpan((int)offset));
    }
}

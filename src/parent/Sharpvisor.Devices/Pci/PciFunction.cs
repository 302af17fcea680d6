// One PCI function: a 256-byte configuration space with per-bit write masks, and base address registers that move
// their registers on the device bus (PCI Local Bus Specification 3.0, chapter 6).
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Pci;

/// <summary>
/// Base of every PCI function. Derived classes describe their registers in the constructor (<see cref="Set8"/>,
/// <see cref="AllowWrites"/>, <see cref="DefineIoBar"/>, …), then <see cref="PciBus.Add"/> attaches them.
/// </summary>
public abstract class PciFunction
{
    private const int ConfigBytes = 256;
    private const int BarCount = 6;

    private readonly byte[] _config = new byte[ConfigBytes];
    private readonly byte[] _writable = new byte[ConfigBytes];
    private readonly byte[] _writeOneToClear = new byte[ConfigBytes];
    private readonly byte[] _initial = new byte[ConfigBytes];
    private readonly PciBar?[] _bars = new PciBar?[BarCount];
    private IDeviceBus? _deviceBus;

    /// <param name="device">Slot, 0..31.</param>
    /// <param name="function">Function in the slot, 0..7.</param>
    /// <param name="identity">The header's constant part.</param>
    protected PciFunction(int device, int function, PciIdentity identity)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)device, 31u, nameof(device));
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)function, 7u, nameof(function));
        Device = device;
        Function = function;
        Identity = identity;
        Set16(PciConfig.VendorId, identity.Vendor);
        Set16(PciConfig.DeviceId, identity.Device);
        Set8(PciConfig.Revision, identity.Revision);
        Set8(PciConfig.ClassCode, (byte)identity.ClassCode);
        Set16(PciConfig.ClassCode + 1, (ushort)(identity.ClassCode >> 8));
        Set8(PciConfig.HeaderType, identity.MultiFunction ? (byte)0x80 : (byte)0);
        Set16(PciConfig.SubsystemVendorId, identity.SubsystemVendor);
        Set16(PciConfig.SubsystemId, identity.Subsystem);
        AllowWrites(PciConfig.CacheLineSize, 0xFF);
        AllowWrites(PciConfig.LatencyTimer, 0xFF);
        AllowWrites(PciConfig.InterruptLine, 0xFF);
        AllowWrites16(PciConfig.Command, PciConfig.CommandIo | PciConfig.CommandMemory | PciConfig.CommandBusMaster
            | PciConfig.CommandInterruptDisable | 0x140);
        ClearByWritingOnes16(PciConfig.Status, PciConfig.StatusErrors);
    }

    public int Device { get; }

    public int Function { get; }

    public PciIdentity Identity { get; }

    /// <summary>The lock that guards configuration space; derived classes may take it for their own state too.</summary>
    protected Lock ConfigLock { get; } = new();

    /// <summary>The function's INTx pin; does nothing until attached or when <see cref="UseInterruptPin"/> was not called.</summary>
    protected IInterruptLine InterruptPin { get; private set; } = DisconnectedLine.Instance;

    protected bool BusMasterEnabled => (Get16(PciConfig.Command) & PciConfig.CommandBusMaster) != 0;

    /// <summary>Reads 1, 2 or 4 bytes of configuration space, as the host bridge does for the guest.</summary>
    public uint ReadConfig(int offset, int bytes)
    {
        lock (ConfigLock)
        {
            ConfigReading(offset, bytes);
            uint value = 0;
            for (int i = 0; i < bytes && offset + i < ConfigBytes; i++)
            {
                value |= (uint)_config[offset + i] << (8 * i);
            }

            return value;
        }
    }

    /// <summary>Writes 1, 2 or 4 bytes of configuration space: only writable bits change, BARs move, then <see cref="ConfigWritten"/> runs.</summary>
    public void WriteConfig(int offset, int bytes, uint value)
    {
        lock (ConfigLock)
        {
            for (int i = 0; i < bytes && offset + i < ConfigBytes; i++)
            {
                int at = offset + i;
                byte written = (byte)(value >> (8 * i));
                byte kept = (byte)(_config[at] & ~_writable[at] & ~(written & _writeOneToClear[at]));
                _config[at] = (byte)(kept | (written & _writable[at]));
            }

            if (offset < PciConfig.Bar0 + (4 * BarCount) && offset + bytes > PciConfig.Command)
            {
                UpdateBars();
            }

            ConfigWritten(offset, bytes);
        }
    }

    /// <summary>Back to the state at construction: BARs are unmapped, then <see cref="OnReset"/> runs.</summary>
    public void Reset()
    {
        lock (ConfigLock)
        {
            _initial.CopyTo(_config, 0);
            UpdateBars();
            OnReset();
            ConfigWritten(0, ConfigBytes);
        }
    }

    internal void Attach(IDeviceBus bus, IInterruptLine pin)
    {
        lock (ConfigLock)
        {
            _deviceBus = bus;
            if (_config[PciConfig.InterruptPin] != 0)
            {
                InterruptPin = pin;
            }

            _config.CopyTo(_initial, 0);
            UpdateBars();
        }
    }

    /// <summary>What firmware would have written before the operating system looks; becomes part of the current, not the reset, state.</summary>
    internal void FirmwareWrite(int offset, int bytes, uint value) => WriteConfig(offset, bytes, value);

    /// <summary>Called, under <see cref="ConfigLock"/>, before configuration bytes are read; for registers that mirror live state.</summary>
    protected virtual void ConfigReading(int offset, int bytes)
    {
    }

    /// <summary>Called, under <see cref="ConfigLock"/>, after configuration bytes were written.</summary>
    protected virtual void ConfigWritten(int offset, int bytes)
    {
    }

    /// <summary>Called, under <see cref="ConfigLock"/>, on reset, after configuration space went back to its initial content.</summary>
    protected virtual void OnReset()
    {
    }

    protected byte Get8(int offset) => _config[offset];

    protected ushort Get16(int offset) => BinaryPrimitives.ReadUInt16LittleEndian(_config.AsSpan(offset));

    protected uint Get32(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_config.AsSpan(offset));

    /// <summary>Sets register content, whatever the write masks say.</summary>
    protected void Set8(int offset, byte value) => _config[offset] = value;

    /// <inheritdoc cref="Set8"/>
    protected void Set16(int offset, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(_config.AsSpan(offset), value);

    /// <inheritdoc cref="Set8"/>
    protected void Set32(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_config.AsSpan(offset), value);

    /// <summary>Declares which bits of a register the guest can write; by default none.</summary>
    protected void AllowWrites(int offset, byte mask) => _writable[offset] = mask;

    /// <inheritdoc cref="AllowWrites"/>
    protected void AllowWrites16(int offset, ushort mask) => BinaryPrimitives.WriteUInt16LittleEndian(_writable.AsSpan(offset), mask);

    /// <inheritdoc cref="AllowWrites"/>
    protected void AllowWrites32(int offset, uint mask) => BinaryPrimitives.WriteUInt32LittleEndian(_writable.AsSpan(offset), mask);

    /// <summary>Declares status bits that a guest clears by writing ones.</summary>
    protected void ClearByWritingOnes16(int offset, ushort mask) =>
        BinaryPrimitives.WriteUInt16LittleEndian(_writeOneToClear.AsSpan(offset), mask);

    /// <summary>Declares INTA..INTD (1..4) as the function's pin.</summary>
    protected void UseInterruptPin(int pin) => Set8(PciConfig.InterruptPin, (byte)pin);

    /// <summary>Declares an I/O base address register.</summary>
    /// <param name="index">0..5.</param>
    /// <param name="bytes">Size: a power of two, at least 4.</param>
    /// <param name="device">Called with port numbers relative to the BAR's start.</param>
    protected void DefineIoBar(int index, int bytes, IPortDevice device)
    {
        _bars[index] = new PciBar((uint)bytes, device, null);
        Set32(PciConfig.Bar0 + (4 * index), 1);
        AllowWrites32(PciConfig.Bar0 + (4 * index), (uint)(0x10000 - bytes));
    }

    /// <summary>Declares a 32-bit memory base address register.</summary>
    /// <inheritdoc cref="DefineIoBar"/>
    protected void DefineMemoryBar(int index, uint bytes, IMmioDevice device, bool prefetchable = false)
    {
        _bars[index] = new PciBar(bytes, null, device);
        Set32(PciConfig.Bar0 + (4 * index), prefetchable ? 8u : 0u);
        AllowWrites32(PciConfig.Bar0 + (4 * index), ~(bytes - 1));
    }

    /// <summary>Declares a 32-bit memory base address register behind which the guest finds memory itself, not registers.</summary>
    /// <param name="shared">Its length is the BAR's: a power of two.</param>
    protected void DefineSharedMemoryBar(int index, GuestMemory guest, SharedMemory shared)
    {
        ArgumentNullException.ThrowIfNull(shared);
        _bars[index] = new PciBar((uint)shared.Length, null, null) { Memory = (guest, shared) };
        Set32(PciConfig.Bar0 + (4 * index), 8);
        AllowWrites32(PciConfig.Bar0 + (4 * index), ~((uint)shared.Length - 1));
    }

    /// <summary>Where a BAR points, whether or not it is enabled.</summary>
    protected uint BarAddress(int index)
    {
        uint raw = Get32(PciConfig.Bar0 + (4 * index));
        return (raw & 1) != 0 ? raw & 0xFFFC : raw & ~0xFu;
    }

    private void UpdateBars()
    {
        if (_deviceBus is null)
        {
            return;
        }

        ushort command = Get16(PciConfig.Command);
        for (int i = 0; i < BarCount; i++)
        {
            if (_bars[i] is { } bar)
            {
                bool enabled = (command & (bar.IsIo ? PciConfig.CommandIo : PciConfig.CommandMemory)) != 0;
                bar.Place(_deviceBus, enabled ? BarAddress(i) : 0);
            }
        }
    }
}

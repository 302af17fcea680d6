// The IDE function on a bus of its own, driven register by register as a guest's driver would.
using System.Buffers.Binary;
using Sharpvisor.Core;
using Sharpvisor.Devices.Ide;

namespace Sharpvisor.Devices.Tests.Ide;

internal sealed class IdeBoard : IDeviceBus, IDisposable
{
    public const int Err = 0x01;
    public const int Drq = 0x08;
    public const int Rdy = 0x40;
    public const int Bsy = 0x80;
    public const uint PrdTable = 0x8000;

    private readonly Dictionary<ushort, IPortDevice> _ports = [];

    public IdeBoard()
    {
        Ide = new Piix4Ide(this, Memory, Irq14, Irq15, Statistics);
    }

    public GuestMemory Memory { get; } = new(4 << 20);

    public Line Irq14 { get; } = new();

    public Line Irq15 { get; } = new();

    public Statistics Statistics { get; } = new();

    public Piix4Ide Ide { get; }

    /// <summary>First port of the channel's command block.</summary>
    public ushort Base { get; set; } = 0x1F0;

    private ushort Control => (ushort)(Base + 0x206);

    private int BusMaster => Base == 0x1F0 ? 0 : 8;

    public void Dispose() => Memory.Dispose();

    public void MapPorts(ushort first, int count, IPortDevice device)
    {
        for (int i = 0; i < count; i++)
        {
            _ports[(ushort)(first + i)] = device;
        }
    }

    public void UnmapPorts(ushort first, int count)
    {
        for (int i = 0; i < count; i++)
        {
            _ports.Remove((ushort)(first + i));
        }
    }

    public void MapMmio(ulong gpa, ulong bytes, IMmioDevice device) => throw new NotSupportedException();

    public void UnmapMmio(ulong gpa, ulong bytes) => throw new NotSupportedException();

    public byte In(int register) => (byte)_ports[(ushort)(Base + register)].ReadPort((ushort)(Base + register), 1);

    public void Out(int register, int value) => _ports[(ushort)(Base + register)].WritePort((ushort)(Base + register), 1, (byte)value);

    public void OutControl(int value) => _ports[Control].WritePort(Control, 1, (byte)value);

    public byte AlternateStatus() => (byte)_ports[Control].ReadPort(Control, 1);

    /// <summary>Waits until the device is not busy; acknowledges the interrupt. Bounded: the test fails rather than hangs.</summary>
    public byte Wait()
    {
        if (!SpinWait.SpinUntil(() => (AlternateStatus() & Bsy) == 0, TimeSpan.FromSeconds(30)))
        {
            throw new TimeoutException("the drive stays busy");
        }

        return In(7);
    }

    public void Lba28(uint lba, int count)
    {
        Out(2, count);
        Out(3, (int)lba);
        Out(4, (int)(lba >> 8));
        Out(5, (int)(lba >> 16));
        Out(6, (int)(0xE0 | ((lba >> 24) & 15)));
    }

    public void Lba48(ulong lba, int count, int device = 0xE0)
    {
        Out(6, device);
        Out(2, count >> 8);
        Out(3, (int)(lba >> 24));
        Out(4, (int)(lba >> 32));
        Out(5, (int)(lba >> 40));
        Out(2, count);
        Out(3, (int)lba);
        Out(4, (int)(lba >> 8));
        Out(5, (int)(lba >> 16));
    }

    /// <summary>Reads a block of the data register: as a string, then what is left in single words.</summary>
    public byte[] ReadData(int bytes, bool single = false)
    {
        byte[] data = new byte[bytes];
        var device = (IStringPortDevice)_ports[Base];
        int done = single ? 0 : device.ReadPortString(Base, 2, data) * 2;
        for (; done < bytes; done += 2)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(data.AsSpan(done), (ushort)device.ReadPort(Base, 2));
        }

        return data;
    }

    public void WriteData(byte[] data, bool single = false)
    {
        var device = (IStringPortDevice)_ports[Base];
        int done = single ? 0 : device.WritePortString(Base, 2, data) * 2;
        for (; done < data.Length; done += 2)
        {
            device.WritePort(Base, 2, BinaryPrimitives.ReadUInt16LittleEndian(data.AsSpan(done)));
        }
    }

    public uint InBusMaster(int register) => Ide.ReadPort((ushort)(BusMaster + register), 1);

    public void OutBusMaster(int register, uint value, int bytes = 1) => Ide.WritePort((ushort)(BusMaster + register), bytes, value);

    /// <summary>Writes a PRD table and points the bus master to it.</summary>
    public void SetPrds(params (uint Gpa, int Bytes)[] regions)
    {
        for (int i = 0; i < regions.Length; i++)
        {
            ulong end = i == regions.Length - 1 ? 1UL << 63 : 0;
            Memory.TryWrite(PrdTable + ((uint)i * 8), regions[i].Gpa | ((ulong)(ushort)regions[i].Bytes << 32) | end);
        }

        OutBusMaster(4, PrdTable, 4);
    }

    /// <summary>Starts the bus master and waits for the command's end; returns the drive's status.</summary>
    public byte RunDma(bool toMemory)
    {
        OutBusMaster(2, 6);
        OutBusMaster(0, toMemory ? 9u : 1u);
        byte status = Wait();
        OutBusMaster(0, 0);
        return status;
    }

    internal sealed class Line : IInterruptLine
    {
        private int _raised;

        public bool IsAsserted { get; private set; }

        /// <summary>Rising edges so far.</summary>
        public int Raised => Volatile.Read(ref _raised);

        public void Set(bool asserted)
        {
            if (asserted && !IsAsserted)
            {
                Interlocked.Increment(ref _raised);
            }

            IsAsserted = asserted;
        }
    }
}

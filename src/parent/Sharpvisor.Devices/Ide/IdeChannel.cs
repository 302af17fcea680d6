// One IDE channel: the command block at 0x1F0 or 0x170, the control block at 0x3F6 or 0x376, two drives and their interrupt
// (ATA/ATAPI-7 volume 2), and its half of the bus master (Intel "Programming Interface for Bus Master IDE Controller" 1.0).
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Ide;

/// <summary>A channel and its registers. Guests write registers of both drives at once and read the selected one's.</summary>
internal sealed class IdeChannel : IStringPortDevice
{
    private const byte DisableInterrupts = 0x02;
    private const byte SoftwareReset = 0x04;
    private const byte HighOrderByte = 0x80;
    private const byte SecondDrive = 0x10;

    private readonly ushort _commandBlock;
    private readonly ushort _controlBlock;
    private readonly IInterruptLine _line;
    private readonly IdeDrive?[] _drives = new IdeDrive?[2];
    private readonly IdeTaskFile[] _taskFiles = new IdeTaskFile[2];
    private readonly Counter _interrupts;
    private byte _control;
    private bool _interruptPending;

    public IdeChannel(int index, GuestMemory memory, IInterruptLine line, Statistics statistics)
    {
        Index = index;
        _commandBlock = index == 0 ? (ushort)0x1F0 : (ushort)0x170;
        _controlBlock = index == 0 ? (ushort)0x3F6 : (ushort)0x376;
        _line = line;
        string name = $"storage.ata{index}.";
        Requests = statistics[name + "requests"];
        BytesRead = statistics[name + "read_bytes"];
        BytesWritten = statistics[name + "written_bytes"];
        Flushes = statistics[name + "flushes"];
        Errors = statistics[name + "errors"];
        _interrupts = statistics[name + "interrupts"];
        BusMaster = new IdeBusMaster(this, memory);
    }

    public int Index { get; }

    /// <summary>Guards the channel, its drives and its bus master. Never held while a disk works.</summary>
    public Lock Lock { get; } = new();

    public IdeBusMaster BusMaster { get; }

    public Counter Requests { get; }

    public Counter BytesRead { get; }

    public Counter BytesWritten { get; }

    public Counter Flushes { get; }

    public Counter Errors { get; }

    /// <summary>The drive whose command waits for the bus master; one at a time, as there is one bus master.</summary>
    public IdeDrive? DmaDrive { get; private set; }

    private IdeDrive? Selected => _drives[SelectedIndex];

    private int SelectedIndex => (_taskFiles[0].Device & SecondDrive) != 0 ? 1 : 0;

    private bool IsEmpty => _drives[0] is null && _drives[1] is null;

    public ref IdeTaskFile TaskFile(int drive) => ref _taskFiles[drive];

    public void MapPorts(IDeviceBus bus)
    {
        bus.MapPorts(_commandBlock, 8, this);
        bus.MapPorts(_controlBlock, 1, this);
    }

    public void Attach(IdeDrive drive)
    {
        lock (Lock)
        {
            if (_drives[drive.Index] is not null)
            {
                throw new InvalidOperationException($"IDE channel {Index} has a drive {drive.Index} already");
            }

            _drives[drive.Index] = drive;
            drive.Reset();
        }
    }

    /// <summary>Power-on or PCI reset.</summary>
    public void Reset()
    {
        lock (Lock)
        {
            _control = 0;
            BusMaster.Reset();
            ResetDrives();
        }
    }

    /// <inheritdoc/>
    public uint ReadPort(ushort port, int bytes)
    {
        lock (Lock)
        {
            int register = port - _commandBlock;
            if (register == 0)
            {
                Span<byte> data = stackalloc byte[4];
                data.Clear();
                _ = Selected?.ReadData(data[..bytes]);
                return BinaryPrimitives.ReadUInt32LittleEndian(data);
            }

            uint value = 0;
            for (int i = 0; i < bytes; i++)
            {
                value |= (uint)ReadRegister((ushort)(port + i)) << (8 * i);
            }

            return value;
        }
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        lock (Lock)
        {
            if (port == _commandBlock)
            {
                Span<byte> data = stackalloc byte[4];
                BinaryPrimitives.WriteUInt32LittleEndian(data, value);
                _ = Selected?.WriteData(data[..bytes]);
                return;
            }

            for (int i = 0; i < bytes; i++)
            {
                WriteRegister((ushort)(port + i), (byte)(value >> (8 * i)));
            }
        }
    }

    /// <inheritdoc/>
    public int ReadPortString(ushort port, int bytes, Span<byte> destination)
    {
        lock (Lock)
        {
            int take = WholeElements(port, bytes, destination.Length);
            return take == 0 ? 0 : Selected!.ReadData(destination[..take]) / bytes;
        }
    }

    /// <inheritdoc/>
    public int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source)
    {
        lock (Lock)
        {
            int take = WholeElements(port, bytes, source.Length);
            return take == 0 ? 0 : Selected!.WriteData(source[..take]) / bytes;
        }
    }

    /// <summary>INTRQ: the bus master notes it, and the wire goes up unless nIEN forbids.</summary>
    public void Interrupt()
    {
        _interruptPending = true;
        BusMaster.NoteInterrupt();
        if ((_control & DisableInterrupts) == 0)
        {
            _interrupts.Increment();
            _line.Set(true);
        }
    }

    public void DmaWanted(IdeDrive drive)
    {
        DmaDrive = drive;
        BusMaster.TryStart();
    }

    // A DRQ block that is no multiple of the access width ends with a padded element: left to single accesses.
    private int WholeElements(ushort port, int bytes, int length)
    {
        int take = port == _commandBlock && Selected is { } drive ? Math.Min(length, drive.BlockBytesLeft) : 0;
        return take - (take % bytes);
    }

    private byte ReadRegister(ushort port)
    {
        IdeDrive? drive = Selected;
        bool isStatus = port == _commandBlock + 7;
        if (isStatus || port == _controlBlock)
        {
            if (isStatus && drive is not null)
            {
                ClearInterrupt();
            }

            // Nobody drives the bus of an empty channel; device 0 answers 0 for an absent device 1.
            return drive?.Status ?? (IsEmpty ? (byte)0xFF : (byte)0);
        }

        int register = port - _commandBlock;
        if (drive is null || register is < 1 or > 7)
        {
            return IsEmpty || register is < 1 or > 7 ? (byte)0xFF : (byte)0;
        }

        return register == 1 ? drive.Error : _taskFiles[drive.Index].Read(register, (_control & HighOrderByte) != 0);
    }

    private void WriteRegister(ushort port, byte value)
    {
        if (port == _controlBlock)
        {
            WriteControl(value);
            return;
        }

        int register = port - _commandBlock;
        if (register is < 1 or > 7)
        {
            return;
        }

        _control &= unchecked((byte)~HighOrderByte);
        if (register == 7)
        {
            WriteCommand(value);
            return;
        }

        // The registers belong to a busy device; who writes them then gets what it deserves on hardware, and nothing here.
        if (register != 6 && Selected is { IsBusy: true })
        {
            return;
        }

        _taskFiles[0].Write(register, value);
        _taskFiles[1].Write(register, value);
    }

    private void WriteControl(byte value)
    {
        byte old = _control;
        _control = (byte)(value & (HighOrderByte | SoftwareReset | DisableInterrupts));
        _line.Set(_interruptPending && (_control & DisableInterrupts) == 0);
        bool rises = (value & ~old & SoftwareReset) != 0;
        if (rises)
        {
            ResetDrives();
        }
    }

    private void WriteCommand(byte command)
    {
        IdeDrive? drive = Selected;
        if (drive is null)
        {
            return;
        }

        if (command == AtaCommand.ExecuteDiagnostic && !drive.IsBusy)
        {
            ClearInterrupt();
            ResetDrives();
            Interrupt();
            return;
        }

        bool isIdle = (drive.Status & (AtaStatus.Busy | AtaStatus.DataRequest)) == 0;
        // DEVICE RESET is of the PACKET feature set: to a disk it is one more unknown command, which has to wait its turn.
        if (isIdle || (command == AtaCommand.DeviceReset && drive.HasPackets))
        {
            ClearInterrupt();
            Requests.Increment();
            drive.Execute(command);
        }
    }

    private void ResetDrives()
    {
        ClearInterrupt();
        DmaDrive = null;
        _taskFiles[0].Device = _taskFiles[1].Device = 0xA0;
        _drives[0]?.Reset();
        _drives[1]?.Reset();
    }

    private void ClearInterrupt()
    {
        _interruptPending = false;
        _line.Set(false);
    }
}

// An NVMe controller and a driver's end of it: memory, doorbells, queues, interrupts.
using System.Buffers.Binary;
using System.Collections.Concurrent;
using Sharpvisor.Core;
using Sharpvisor.Devices.Nvme;
using Sharpvisor.Devices.Tests.Ide;
using Xunit;

namespace Sharpvisor.Devices.Tests.Nvme;

internal sealed class NvmeBoard : IDeviceBus, IDisposable
{
    public const ulong Buffer = 0x10_0000;

    private const ulong AdminSubmission = 0x1_0000;
    private const ulong AdminCompletion = 0x1_1000;
    private const int AdminEntries = 16;
    private readonly Dictionary<int, (ulong Submission, ulong Completion, int Entries)> _queues = [];
    private readonly uint[] _tails = new uint[NvmeController.MaxQueues + 1];
    private readonly uint[] _heads = new uint[NvmeController.MaxQueues + 1];
    private readonly bool[] _phases = new bool[NvmeController.MaxQueues + 1];
    private ushort _id;

    public NvmeBoard(int sectors = 4096, bool isReadOnly = false)
    {
        Disk = new MemoryDisk(sectors, isReadOnly);
        Controller = new NvmeController(Disk, Memory, 0, new Statistics());
        Controller.Connect(this, Interrupts.Enqueue);
    }

    public GuestMemory Memory { get; } = new(16 << 20);

    public MemoryDisk Disk { get; }

    public NvmeController Controller { get; }

    public ConcurrentQueue<MsiMessage> Interrupts { get; } = [];

    public IMmioDevice? Registers { get; private set; }

    public void MapPorts(ushort first, int count, IPortDevice device)
    {
    }

    public void UnmapPorts(ushort first, int count)
    {
    }

    public void MapMmio(ulong gpa, ulong bytes, IMmioDevice device) => Registers = device;

    public void UnmapMmio(ulong gpa, ulong bytes) => Registers = null;

    public void Dispose()
    {
        Controller.PowerOff();
        Memory.Dispose();
    }

    public uint Read(ulong offset) => (uint)Controller.ReadMmio(offset, 4);

    public void Write(ulong offset, uint value) => Controller.WriteMmio(offset, 4, value);

    public void WaitForStatus(uint mask, uint value) =>
        Assert.True(SpinWait.SpinUntil(() => (Read(0x1C) & mask) == value, TimeSpan.FromSeconds(20)), $"CSTS stays {Read(0x1C):x}");

    /// <summary>What nvme_pci_configure_admin_queue does; MSI-X with vector i as data 0x40 + i.</summary>
    public NvmeBoard Enable(uint configuration = 0x0046_0001)
    {
        Controller.WriteConfig(0x42, 2, 0x8000);
        for (uint i = 0; i <= NvmeController.MaxQueues; i++)
        {
            Write(0x2000 + (i * 16), 0xFEE0_0000);
            Write(0x2008 + (i * 16), 0x40 + i);
            Write(0x200C + (i * 16), 0);
        }

        Write(0x24, (AdminEntries - 1) | ((AdminEntries - 1) << 16));
        Controller.WriteMmio(0x28, 8, AdminSubmission);
        Controller.WriteMmio(0x30, 8, AdminCompletion);
        Forget(0, AdminSubmission, AdminCompletion, AdminEntries);
        Write(0x14, configuration);
        WaitForStatus(1, 1);
        return this;
    }

    /// <summary>Makes an I/O queue pair.</summary>
    public NvmeBoard CreateQueue(int id = 1, int entries = 32)
    {
        ulong completion = 0x2_0000 + ((ulong)id * 0x8000);
        ulong submission = completion + 0x4000;
        Assert.Equal(0, Admin(5, (uint)id | ((uint)(entries - 1) << 16), 3 | ((uint)id << 16), completion).Status);
        Assert.Equal(0, Admin(1, (uint)id | ((uint)(entries - 1) << 16), 1 | ((uint)id << 16), submission).Status);
        Forget(id, submission, completion, entries);
        return this;
    }

    public (int Status, uint Result) Admin(byte opcode, uint dword10 = 0, uint dword11 = 0, ulong prp1 = 0, uint space = 0, uint dword12 = 0) =>
        Wait(0, Submit(0, opcode, dword10, dword11, dword12, prp1, 0, space));

    /// <summary>Read, write and so on of blocks.</summary>
    public int Io(byte opcode, ulong lba, uint blocks, ulong prp1 = Buffer, ulong prp2 = 0, uint space = 1, int queue = 1) =>
        Wait(queue, Submit(queue, opcode, (uint)lba, (uint)(lba >> 32), blocks - 1, prp1, prp2, space)).Status;

    public ushort Submit(
        int queue, byte opcode, uint dword10 = 0, uint dword11 = 0, uint dword12 = 0, ulong prp1 = 0, ulong prp2 = 0, uint space = 1, byte flags = 0)
    {
        byte[] entry = new byte[64];
        entry[0] = opcode;
        entry[1] = flags;
        BinaryPrimitives.WriteUInt16LittleEndian(entry.AsSpan(2), ++_id);
        BinaryPrimitives.WriteUInt32LittleEndian(entry.AsSpan(4), space);
        BinaryPrimitives.WriteUInt64LittleEndian(entry.AsSpan(24), prp1);
        BinaryPrimitives.WriteUInt64LittleEndian(entry.AsSpan(32), prp2);
        BinaryPrimitives.WriteUInt32LittleEndian(entry.AsSpan(40), dword10);
        BinaryPrimitives.WriteUInt32LittleEndian(entry.AsSpan(44), dword11);
        BinaryPrimitives.WriteUInt32LittleEndian(entry.AsSpan(48), dword12);
        Submit(queue, entry);
        return _id;
    }

    /// <summary>Writes an entry of any content and rings.</summary>
    public void Submit(int queue, byte[] entry)
    {
        (ulong submission, _, int entries) = _queues[queue];
        Assert.True(Memory.TryWrite(submission + (_tails[queue] * 64), entry));
        _tails[queue] = (_tails[queue] + 1) % (uint)entries;
        Write(0x1000 + ((ulong)queue * 8), _tails[queue]);
    }

    /// <summary>The next completion, if there is one; the head doorbell is rung.</summary>
    public (ushort Id, int Status, uint Result)? TryTake(int queue, bool ring = true)
    {
        (_, ulong completion, int entries) = _queues[queue];
        byte[] entry = new byte[16];
        Assert.True(Memory.TryRead(completion + (_heads[queue] * 16), entry));
        ushort status = BinaryPrimitives.ReadUInt16LittleEndian(entry.AsSpan(14));
        if (((status & 1) != 0) != _phases[queue])
        {
            return null;
        }

        _heads[queue]++;
        if (_heads[queue] == entries)
        {
            _heads[queue] = 0;
            _phases[queue] = !_phases[queue];
        }

        if (ring)
        {
            Write(0x1004 + ((ulong)queue * 8), _heads[queue]);
        }

        return (BinaryPrimitives.ReadUInt16LittleEndian(entry.AsSpan(12)), status >> 1, BinaryPrimitives.ReadUInt32LittleEndian(entry));
    }

    public (int Status, uint Result) Wait(int queue, ushort id)
    {
        (ushort Id, int Status, uint Result)? taken = null;
        Assert.True(SpinWait.SpinUntil(() => (taken = TryTake(queue)) is not null, TimeSpan.FromSeconds(20)), "no completion");
        Assert.Equal(id, taken!.Value.Id);
        return (taken.Value.Status, taken.Value.Result);
    }

    private void Forget(int id, ulong submission, ulong completion, int entries)
    {
        Assert.True(Memory.TryWrite(completion, new byte[entries * 16]));
        _queues[id] = (submission, completion, entries);
        _tails[id] = _heads[id] = 0;
        _phases[id] = true;
    }
}

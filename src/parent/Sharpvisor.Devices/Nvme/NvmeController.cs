// An NVM Express 1.4 controller with one namespace: registers, doorbells and configuration space. A register access changes a mailbox and
// wakes the worker (NvmeController.Worker.cs); no VP waits for a disk here. drivers/nvme/host/pci.c drives it.
using System.Collections.Concurrent;
using Sharpvisor.Core;
using Sharpvisor.Devices.Pci;

namespace Sharpvisor.Devices.Nvme;

/// <summary>1414:00a9 (the id of Hyper-V's own NVMe disks), class 010802.</summary>
public sealed partial class NvmeController : PciFunction, IPciEndpoint, IMmioDevice, IThreadPoolWorkItem
{
    /// <summary>I/O queue pairs there can be.</summary>
    public const int MaxQueues = 16;

    /// <summary>MQES + 1.</summary>
    public const uint MaxQueueEntries = 1024;

    /// <summary>MDTS 8: 2 to the power of that pages.</summary>
    public const int MaxTransferBytes = 256 * GuestMemory.PageBytes;

    private const uint BarBytes = 0x4000;
    private const int DoorbellOffset = 0x1000;
    private const int MsixTableOffset = 0x2000;
    private const int PendingBitsOffset = 0x3000;
    private const int MsixCapability = 0x40;
    private const int MsixControl = MsixCapability + 2;

    // CAP: DSTRD 0, CSS NVM, TO 30 s, CQR, MQES.
    private const ulong Capabilities = (1UL << 37) | (60UL << 24) | (1 << 16) | (MaxQueueEntries - 1);
    private const uint Version14 = 0x0001_0400;
    private const uint ConfigurationBits = 0x00FF_FFF1;

    private readonly IDisk _disk;
    private readonly GuestMemory _memory;
    private readonly MsixTable _msix = new(MaxQueues + 1);
    private readonly uint[] _tailDoorbells = new uint[MaxQueues + 1];
    private readonly uint[] _headDoorbells = new uint[MaxQueues + 1];
    private readonly ConcurrentQueue<NvmeRequest> _diskDone = new();
    private readonly Lock _registerLock = new();
    private uint _configuration;
    private uint _status;
    private uint _adminAttributes;
    private ulong _adminSubmission;
    private ulong _adminCompletion;

    /// <param name="disk">The namespace; stays its owner's.</param>
    /// <param name="memory">What the controller reads and writes.</param>
    /// <param name="index">Names its counters: <c>storage.nvme0.…</c>.</param>
    /// <param name="statistics">Gets them.</param>
    public NvmeController(IDisk disk, GuestMemory memory, int index, Statistics statistics)
        : base(0, 0, new PciIdentity(0x1414, 0x00A9, 0x010802, SubsystemVendor: 0x1414, Subsystem: 0x00A9))
    {
        ArgumentNullException.ThrowIfNull(disk);
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(statistics);
        _disk = disk;
        _memory = memory;
        _counters = new NvmeCounters(statistics, index);
        DefineMemoryBar(0, BarBytes, this);
        Set16(PciConfig.Status, PciConfig.StatusCapabilities);
        Set8(PciConfig.Capabilities, MsixCapability);
        Set16(MsixCapability, 0x0011);
        Set16(MsixControl, MaxQueues);
        AllowWrites16(MsixControl, 0xC000);
        Set32(MsixCapability + 4, MsixTableOffset);
        Set32(MsixCapability + 8, PendingBitsOffset);
    }

    /// <inheritdoc/>
    public void Connect(IDeviceBus bus, Action<MsiMessage> interrupt)
    {
        ArgumentNullException.ThrowIfNull(bus);
        _msix.Connect(interrupt);
        Attach(bus, DisconnectedLine.Instance);
    }

    /// <inheritdoc/>
    public void PowerOff()
    {
        Quiesce();
        Reset();
    }

    /// <inheritdoc/>
    public ulong ReadMmio(ulong offset, int bytes)
    {
        if (bytes == 8)
        {
            return ReadWord((int)offset) | ((ulong)ReadWord((int)offset + 4) << 32);
        }

        uint value = ReadWord((int)offset & ~3) >> ((int)(offset & 3) * 8);
        return bytes == 4 ? value : value & ((1u << (bytes * 8)) - 1);
    }

    /// <inheritdoc/>
    public void WriteMmio(ulong offset, int bytes, ulong value)
    {
        // 3.1: accesses smaller than a register, or not aligned, do nothing that is defined.
        if (bytes < 4 || (offset & 3) != 0)
        {
            return;
        }

        WriteWord((int)offset, (uint)value);
        if (bytes == 8)
        {
            WriteWord((int)offset + 4, (uint)(value >> 32));
        }
    }

    /// <inheritdoc/>
    protected override void ConfigWritten(int offset, int bytes)
    {
        if (offset < MsixControl + 2 && offset + bytes > MsixControl)
        {
            ushort control = Get16(MsixControl);
            _msix.SetControl((control & 0x8000) != 0, (control & 0x4000) != 0);
        }
    }

    /// <inheritdoc/>
    protected override void OnReset() => _msix.Reset();

    private uint ReadWord(int offset)
    {
        if (offset >= PendingBitsOffset)
        {
            return _msix.ReadPending(offset - PendingBitsOffset);
        }

        if (offset >= MsixTableOffset)
        {
            return _msix.ReadWord(offset - MsixTableOffset);
        }

        lock (_registerLock)
        {
            return offset switch
            {
                NvmeRegister.Capabilities => unchecked((uint)Capabilities),
                NvmeRegister.Capabilities + 4 => (uint)(Capabilities >> 32),
                NvmeRegister.Version => Version14,
                NvmeRegister.Configuration => _configuration,
                NvmeRegister.Status => _status,
                NvmeRegister.AdminAttributes => _adminAttributes,
                NvmeRegister.AdminSubmission => (uint)_adminSubmission,
                NvmeRegister.AdminSubmission + 4 => (uint)(_adminSubmission >> 32),
                NvmeRegister.AdminCompletion => (uint)_adminCompletion,
                NvmeRegister.AdminCompletion + 4 => (uint)(_adminCompletion >> 32),
                _ => 0,
            };
        }
    }

    private void WriteWord(int offset, uint value)
    {
        if (offset >= MsixTableOffset)
        {
            if (offset < PendingBitsOffset)
            {
                _msix.WriteWord(offset - MsixTableOffset, value);
            }
        }
        else if (offset >= DoorbellOffset)
        {
            RingDoorbell((offset - DoorbellOffset) / 4, value);
        }
        else
        {
            WriteRegister(offset, value);
        }
    }

    // 3.1.16: the tail of submission queue y, then the head of completion queue y.
    private void RingDoorbell(int index, uint value)
    {
        int queue = index / 2;
        if (queue <= MaxQueues)
        {
            Volatile.Write(ref (index % 2 == 0 ? _tailDoorbells : _headDoorbells)[queue], value);
            Schedule();
        }
    }

    private void WriteRegister(int offset, uint value)
    {
        lock (_registerLock)
        {
            switch (offset)
            {
                case NvmeRegister.Configuration:
                    // Enable going from 1 to 0 is a reset, even if it is 1 again before the worker looks.
                    _resetRequested |= (_configuration & ~value & NvmeRegister.Enable) != 0;
                    _configuration = value & ConfigurationBits;
                    break;
                case NvmeRegister.AdminAttributes:
                    _adminAttributes = value & 0x0FFF_0FFF;
                    return;
                case NvmeRegister.AdminSubmission:
                    _adminSubmission = (_adminSubmission & ~0xFFFF_FFFFUL) | (value & ~0xFFFu);
                    return;
                case NvmeRegister.AdminSubmission + 4:
                    _adminSubmission = (uint)_adminSubmission | ((ulong)value << 32);
                    return;
                case NvmeRegister.AdminCompletion:
                    _adminCompletion = (_adminCompletion & ~0xFFFF_FFFFUL) | (value & ~0xFFFu);
                    return;
                case NvmeRegister.AdminCompletion + 4:
                    _adminCompletion = (uint)_adminCompletion | ((ulong)value << 32);
                    return;
                default:
                    return;
            }
        }

        Schedule();
    }
}

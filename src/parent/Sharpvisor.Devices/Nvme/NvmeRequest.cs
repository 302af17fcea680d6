// One command on its way: its copy of the entry, its pieces of guest memory, and the continuation of its disk operation. Reused.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Nvme;

internal sealed class NvmeRequest
{
    private readonly NvmeController _controller;
    private readonly List<(ulong Gpa, int Bytes)> _pages = [];
    private readonly Action _onDiskDone;
    private ValueTask<DiskStatus> _operation;

    public NvmeRequest(NvmeController controller)
    {
        _controller = controller;
        _onDiskDone = OnDiskDone;
    }

    public NvmeCommand Command;

    public NvmeSubmissionQueue Queue { get; set; } = null!;

    public SegmentList Data { get; } = new();

    /// <summary>What the disk answered.</summary>
    public DiskStatus DiskStatus { get; private set; }

    public NvmeStatus Status { get; set; }

    /// <summary>Dword 0 of the completion.</summary>
    public uint Result { get; set; }

    public void Begin(NvmeSubmissionQueue queue, in NvmeCommand command)
    {
        Queue = queue;
        Command = command;
        Data.Clear();
        _pages.Clear();
        Status = NvmeStatus.Success;
        Result = 0;
    }

    /// <summary>Adds a piece of a page. False when it is not plain RAM.</summary>
    public bool TryAddPage(GuestMemory memory, ulong gpa, int bytes)
    {
        if (!memory.TryGetMemory(gpa, bytes, out Memory<byte> page))
        {
            return false;
        }

        Data.Add(page);
        _pages.Add((gpa, bytes));
        return true;
    }

    /// <summary>Guest memory was written.</summary>
    public void NotifyWrites(GuestMemory memory)
    {
        foreach ((ulong gpa, int bytes) in _pages)
        {
            memory.NotifyWrite(gpa, (ulong)bytes);
        }
    }

    /// <summary>Goes on when the operation is done: at once (true), or on another thread, through the controller's worker (false).</summary>
    public bool Await(ValueTask<DiskStatus> operation)
    {
        if (operation.IsCompleted)
        {
            DiskStatus = operation.GetAwaiter().GetResult();
            return true;
        }

        _operation = operation;
        operation.GetAwaiter().UnsafeOnCompleted(_onDiskDone);
        return false;
    }

    private void OnDiskDone()
    {
        DiskStatus = _operation.GetAwaiter().GetResult();
        _operation = default;
        _controller.DiskDone(this);
    }
}

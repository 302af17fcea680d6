// One file operation on its way through another thread: reusable, so that a request in steady state allocates nothing.
using System.Threading.Tasks.Sources;
using Sharpvisor.Core;

namespace Sharpvisor.Storage;

internal enum DiskOperation
{
    Read,
    Write,
    Flush,
    Unmap,
}

/// <summary>A pooled work item that is also the ValueTask's source; it goes back to its pool when the result is taken.</summary>
internal sealed class DiskRequest(RawDisk disk, DiskRequestPool pool) : IThreadPoolWorkItem, IValueTaskSource<DiskStatus>
{
    private ManualResetValueTaskSourceCore<DiskStatus> _source;
    private DiskOperation _operation;
    private long _offset;
    private long _bytes;
    private long _done;
    private IReadOnlyList<Memory<byte>>? _read;
    private IReadOnlyList<ReadOnlyMemory<byte>>? _write;

    public ValueTask<DiskStatus> Start(
        DiskOperation operation,
        long offset,
        long bytes,
        IReadOnlyList<Memory<byte>>? read,
        IReadOnlyList<ReadOnlyMemory<byte>>? write,
        long done)
    {
        _operation = operation;
        _offset = offset;
        _bytes = bytes;
        _done = done;
        _read = read;
        _write = write;
        var task = new ValueTask<DiskStatus>(this, _source.Version);
        if (operation == DiskOperation.Write)
        {
            disk.Writer.Enqueue(this);
        }
        else
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        return task;
    }

    public void Execute()
    {
        pool.EnterThread();
        try
        {
            // Runs what awaits the result, too; this object may be in use for another request when it returns.
            _source.SetResult(Run());
        }
        finally
        {
            pool.LeaveThread();
        }
    }

    private DiskStatus Run()
    {
        DiskStatus status;
        try
        {
            status = _operation switch
            {
                DiskOperation.Read => disk.Read(_offset, _bytes, _read!, _done),
                DiskOperation.Write => disk.Write(_offset, _bytes, _write!),
                DiskOperation.Flush => disk.Flush(),
                _ => disk.Unmap(_offset, _bytes),
            };
        }
        catch (ObjectDisposedException)
        {
            // The disk was closed with the request queued; whoever closed it no longer listens.
            status = _operation == DiskOperation.Read ? DiskStatus.ReadError : DiskStatus.WriteError;
        }

        return status;
    }

    public DiskStatus GetResult(short token)
    {
        DiskStatus status = _source.GetResult(token);
        _source.Reset();
        _read = null;
        _write = null;
        pool.Return(this);
        return status;
    }

    public ValueTaskSourceStatus GetStatus(short token) => _source.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);
}

/// <summary>Keeps finished requests for reuse, and knows how many are under way.</summary>
internal sealed class DiskRequestPool(RawDisk disk)
{
    private const int MaxKept = 256;

    [ThreadStatic]
    private static DiskRequestPool? s_running;

    private readonly Stack<DiskRequest> _free = new();
    // A monitor, because closing waits on it.
    private readonly object _lock = new();
    private int _active;

    public DiskRequest Rent()
    {
        lock (_lock)
        {
            _active++;
            if (_free.TryPop(out DiskRequest? request))
            {
                return request;
            }
        }

        return new DiskRequest(disk, this);
    }

    public void EnterThread() => s_running = this;

    public void LeaveThread()
    {
        s_running = null;
        lock (_lock)
        {
            _active--;
            Monitor.PulseAll(_lock);
        }
    }

    /// <summary>Returns when no request is under way but the one, if any, whose completion is what calls this.</summary>
    public void WaitUntilIdle()
    {
        int own = s_running == this ? 1 : 0;
        lock (_lock)
        {
            while (_active > own)
            {
                Monitor.Wait(_lock);
            }
        }
    }

    public void Return(DiskRequest request)
    {
        lock (_lock)
        {
            if (_free.Count < MaxKept)
            {
                _free.Push(request);
            }
        }
    }
}

// The thread on which one disk's writes go into the host's page cache. Each takes microseconds, less than the thread pool's
// hand-over; and while it runs, more of them need no wake-up. Reads that have to wait for the medium, and flushes, take long and
// side by side: they stay on the pool.
using System.Collections.Concurrent;
using Sharpvisor.Core.Interop;

namespace Sharpvisor.Storage;

/// <summary>Runs requests in the order they came.</summary>
internal sealed class DiskWriter
{
    private readonly ConcurrentQueue<DiskRequest> _queue = new();
    private readonly HostEvent _work = new();
    private Thread? _thread;
    private bool _stopping;

    public void Enqueue(DiskRequest request)
    {
        _queue.Enqueue(request);
        if (Volatile.Read(ref _thread) is null)
        {
            Start();
        }

        _work.Signal();
    }

    /// <summary>Ends the thread; nothing is queued any more.</summary>
    public void Stop()
    {
        Volatile.Write(ref _stopping, true);
        _work.Signal();
    }

    /// <summary>Runs what is queued if the caller is a completion on this thread: it would wait for itself.</summary>
    public void DrainOwn()
    {
        if (Thread.CurrentThread == Volatile.Read(ref _thread))
        {
            Drain();
        }
    }

    private void Start()
    {
        var thread = new Thread(Run) { IsBackground = true, Name = "disk" };
        if (Interlocked.CompareExchange(ref _thread, thread, null) is null)
        {
            thread.Start();
        }
    }

    private void Run()
    {
        while (!Volatile.Read(ref _stopping))
        {
            Drain();
            _work.Wait();
        }
    }

    private void Drain()
    {
        while (_queue.TryDequeue(out DiskRequest? request))
        {
            request.Execute();
        }
    }
}

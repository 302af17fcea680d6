// The controller at work: a thread-pool work item, at most one at a time, that starts and stops the controller, fetches commands and
// posts completions. All queues are its own. An idle controller has none, and costs nothing.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Sharpvisor.Devices.Nvme;

public sealed partial class NvmeController
{
    private const int MaxBatch = 256;
    private const int MaxInFlight = 128;
    private const int MaxFreeRequests = 256;

    private const int Idle = 0;
    private const int Queued = 1;
    private const int Running = 2;
    private const int RunningAgain = 3;

    private readonly NvmeSubmissionQueue?[] _submissions = new NvmeSubmissionQueue?[MaxQueues + 1];
    private readonly NvmeCompletionQueue?[] _completions = new NvmeCompletionQueue?[MaxQueues + 1];
    private readonly Stack<NvmeRequest> _free = new();
    private readonly NvmeCounters _counters;
    // A monitor, because a quiesce waits on it.
    private readonly object _quiet = new();
    private int _state;
    private int _diskOperations;
    private bool _running;
    private bool _resetRequested;
    private bool _quiesce;

    /// <summary>The disk is done with a request. Any thread.</summary>
    internal void DiskDone(NvmeRequest request)
    {
        _diskDone.Enqueue(request);
        Schedule();
    }

    void IThreadPoolWorkItem.Execute()
    {
        _ = Interlocked.Exchange(ref _state, Running);
        bool more = RunGuarded();
        if (more || Interlocked.CompareExchange(ref _state, Idle, Running) != Running)
        {
            Volatile.Write(ref _state, Queued);
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    private void Schedule()
    {
        // What the worker is to find was written before; it reads after its own exchange of the state. Both sides need a full fence.
        Interlocked.MemoryBarrier();
        while (true)
        {
            int state = Volatile.Read(ref _state);
            int next = state switch { Idle => Queued, Running => RunningAgain, _ => state };
            if (next == state)
            {
                return;
            }

            if (Interlocked.CompareExchange(ref _state, next, state) == state)
            {
                if (next == Queued)
                {
                    ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
                }

                return;
            }
        }
    }

    /// <summary>Stops the controller; when this returns it has no I/O under way and starts none before it is enabled again.</summary>
    private void Quiesce()
    {
        lock (_registerLock)
        {
            _configuration = 0;
            _adminAttributes = 0;
            _adminSubmission = 0;
            _adminCompletion = 0;
            _resetRequested = true;
        }

        lock (_quiet)
        {
            _quiesce = true;
            Schedule();
            while (_quiesce)
            {
                Monitor.Wait(_quiet);
            }
        }
    }

    [SuppressMessage("Design", "CA1031", Justification = "A bug here must cost the guest this device, not its whole machine.")]
    private bool RunGuarded()
    {
        try
        {
            return Run();
        }
        catch (Exception)
        {
            _running = false;
            SetStatus(NvmeRegister.Ready, NvmeRegister.Fatal);
            return false;
        }
    }

    private bool Run()
    {
        while (_diskDone.TryDequeue(out NvmeRequest? request))
        {
            _diskOperations--;
            FinishDisk(request);
        }

        ChangeState();
        if (!_running)
        {
            return false;
        }

        PostWaiting();
        bool more = FetchAll();
        foreach (NvmeCompletionQueue? queue in _completions)
        {
            if (queue is { IsDirty: true })
            {
                queue.IsDirty = false;
                if (queue.Interrupts)
                {
                    _counters.Interrupts.Increment();
                    _msix.Raise(queue.Vector);
                }
            }
        }

        return more;
    }

    // 7.3.2, 7.6: reset, enable and shutdown as the registers ask for them.
    private void ChangeState()
    {
        uint configuration;
        bool reset;
        lock (_registerLock)
        {
            configuration = _configuration;
            reset = _resetRequested;
        }

        if (reset)
        {
            _running = false;
            if (_diskOperations > 0)
            {
                return;
            }

            ForgetQueues();
            lock (_registerLock)
            {
                _resetRequested = false;
                _status = 0;
                configuration = _configuration;
            }

            lock (_quiet)
            {
                _quiesce = false;
                Monitor.PulseAll(_quiet);
            }
        }

        uint status = ReadWord(NvmeRegister.Status);
        if ((configuration & NvmeRegister.Enable) != 0 && !_running && (status & NvmeRegister.Fatal) == 0)
        {
            _running = TryStart(configuration);
            SetStatus(0, _running ? NvmeRegister.Ready : NvmeRegister.Fatal);
        }

        if (((configuration >> 14) & 3) != 0 && (status & NvmeRegister.ShutdownMask) == 0 && _diskOperations == 0)
        {
            // Whoever shuts down writes nothing more, and wants what it wrote on stable storage.
            SetStatus(NvmeRegister.ShutdownMask, NvmeRegister.ShutdownOccurring);
            _ = ShutDownAsync();
        }
    }

    private async Task ShutDownAsync()
    {
        _ = await _disk.FlushAsync();
        SetStatus(NvmeRegister.ShutdownMask, NvmeRegister.ShutdownComplete);
    }

    private void SetStatus(uint clear, uint set)
    {
        lock (_registerLock)
        {
            _status = (_status & ~clear) | set;
        }
    }

    private bool TryStart(uint configuration)
    {
        // CC: command set NVM (6..4), pages of 4 KiB (10..7), round robin (13..11), entries of 64 and 16 bytes if they are set yet.
        if ((configuration & 0x3FF0) != 0 || ((configuration >> 16) & 0xFF) is not (0x46 or 0))
        {
            return false;
        }

        uint submissionEntries = (_adminAttributes & 0xFFF) + 1;
        uint completionEntries = ((_adminAttributes >> 16) & 0xFFF) + 1;
        if (submissionEntries < 2 || completionEntries < 2)
        {
            return false;
        }

        ForgetQueues();
        _completions[0] = new NvmeCompletionQueue(0, _adminCompletion, completionEntries, interrupts: true, vector: 0) { Users = 1 };
        _submissions[0] = new NvmeSubmissionQueue(0, _adminSubmission, submissionEntries, _completions[0]!);
        return true;
    }

    private void ForgetQueues()
    {
        Array.Clear(_submissions);
        Array.Clear(_completions);
        Array.Clear(_tailDoorbells);
        Array.Clear(_headDoorbells);
        ResetAdmin();
    }

    private bool FetchAll()
    {
        int budget = MaxBatch;
        bool any;
        do
        {
            any = false;
            foreach (NvmeSubmissionQueue? queue in _submissions)
            {
                if (queue is not null && _running && TryFetch(queue))
                {
                    any = true;
                    budget--;
                }
            }
        }
        while (any && budget > 0);
        return any;
    }

    private bool TryFetch(NvmeSubmissionQueue queue)
    {
        uint tail = Volatile.Read(ref _tailDoorbells[queue.Id]);
        if (tail >= queue.Entries)
        {
            // 5.2.1, figure 149: an error event, invalid doorbell write value. The queue waits for a sensible one.
            Volatile.Write(ref _tailDoorbells[queue.Id], queue.Head);
            RaiseEvent(type: 0, information: 1);
            return false;
        }

        if (tail == queue.Head || queue.InFlight >= MaxInFlight || queue.Deletion is not null || queue.Completions.Waiting.Count > 0)
        {
            return false;
        }

        NvmeCommand command = default;
        if (!_memory.TryRead(queue.Gpa + (queue.Head * NvmeCommand.Bytes), MemoryMarshal.AsBytes(new Span<NvmeCommand>(ref command))))
        {
            Fail();
            return false;
        }

        queue.Head = (queue.Head + 1) % queue.Entries;
        queue.InFlight++;
        NvmeRequest request = _free.TryPop(out NvmeRequest? free) ? free : new NvmeRequest(this);
        request.Begin(queue, command);
        _counters.Requests.Increment();
        if ((command.Flags & 0xC3) != 0)
        {
            // Fused operations and SGLs are not offered.
            Complete(request, NvmeStatus.InvalidField);
        }
        else if (queue.Id == 0)
        {
            ExecuteAdmin(request);
        }
        else
        {
            ExecuteIo(request);
        }

        return true;
    }

    /// <summary>The guest's queues are not in memory: 9.5, a fatal error, until the guest resets the controller.</summary>
    private void Fail()
    {
        _running = false;
        SetStatus(0, NvmeRegister.Fatal);
    }

    private void Complete(NvmeRequest request, NvmeStatus status, uint result = 0)
    {
        request.Status = status;
        request.Result = result;
        if (status != NvmeStatus.Success)
        {
            _counters.Failures.Increment();
        }

        if (!_running)
        {
            return;
        }

        NvmeCompletionQueue queue = request.Queue.Completions;
        UpdateHead(queue);
        if (queue.IsFull || queue.Waiting.Count > 0)
        {
            queue.Waiting.Enqueue(request);
        }
        else
        {
            Post(request);
        }
    }

    private void PostWaiting()
    {
        foreach (NvmeCompletionQueue? queue in _completions)
        {
            if (queue is null)
            {
                continue;
            }

            UpdateHead(queue);
            while (_running && !queue.IsFull && queue.Waiting.TryDequeue(out NvmeRequest? request))
            {
                Post(request);
            }
        }
    }

    private void UpdateHead(NvmeCompletionQueue queue)
    {
        uint head = Volatile.Read(ref _headDoorbells[queue.Id]);
        if (head < queue.Entries)
        {
            queue.Head = head;
        }
        else
        {
            Volatile.Write(ref _headDoorbells[queue.Id], queue.Head);
            RaiseEvent(type: 0, information: 1);
        }
    }

    // 4.6: the phase tag, in the last dword, is written after the rest; the guest looks at it first.
    private void Post(NvmeRequest request)
    {
        NvmeSubmissionQueue from = request.Queue;
        NvmeCompletionQueue queue = from.Completions;
        ulong gpa = queue.Gpa + (queue.Tail * NvmeCompletionQueue.EntryBytes);
        uint last = request.Command.Id | (queue.Phase ? 1u << 16 : 0) | ((uint)request.Status << 17);
        bool written = _memory.TryWrite(gpa, (ulong)request.Result)
            && _memory.TryWrite(gpa + 8, from.Head | ((uint)from.Id << 16));
        Interlocked.MemoryBarrier();
        if (!written || !_memory.TryWrite(gpa + 12, last))
        {
            Fail();
            return;
        }

        _memory.NotifyWrite(gpa, NvmeCompletionQueue.EntryBytes);
        queue.Tail++;
        if (queue.Tail == queue.Entries)
        {
            queue.Tail = 0;
            queue.Phase = !queue.Phase;
        }

        queue.IsDirty = true;
        from.InFlight--;
        if (_free.Count < MaxFreeRequests)
        {
            request.Data.Clear();
            _free.Push(request);
        }

        if (from is { InFlight: 0, Deletion: { } deletion })
        {
            FinishDeletion(from, deletion);
        }
    }
}

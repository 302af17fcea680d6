// What other threads ask of a VP: interrupts, TLB flushes, acknowledgements of code tracking, stop.
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

internal sealed unsafe partial class Vp
{
    /// <summary>An event bit of our own, set for good: each Run executes one block (lockstep).</summary>
    public const uint Pace = 1u << 31;

    private const uint RemoteEvents = (uint)(VpEvents.FlushTlb | VpEvents.Engine);

    [ThreadStatic]
    private static Vp? s_current;

    private readonly Lock _requestLock = new();
    private readonly List<ulong> _trackedPages = [];
    private long _requested;
    private long _acknowledged;
    private bool _running;

    /// <summary>Under <see cref="Pace"/>: this Run has begun its block.</summary>
    private bool _paced;

    /// <summary>See <see cref="Mmu.EngineBlock.InterruptDeferred"/>. An instruction that sets IF must then return to the run loop.</summary>
    public bool InterruptDeferred
    {
        get => _engine->InterruptDeferred != 0;
        private set => _engine->InterruptDeferred = value ? 1u : 0;
    }

    /// <inheritdoc/>
    public void Kick(VpEvents events) => Interlocked.Or(ref State->PendingEvents, (uint)events);

    /// <inheritdoc/>
    public void RequestTlbFlush()
    {
        if (ReferenceEquals(s_current, this))
        {
            Mmu.FlushAll();
            return;
        }

        Wait(RequestFlush());
    }

    /// <summary>Serves requests of other threads; called at block boundaries and while this VP itself waits for another.</summary>
    public void ServiceRemoteRequests()
    {
        if ((Volatile.Read(ref State->PendingEvents) & RemoteEvents) != 0)
        {
            lock (_requestLock)
            {
                ServeRequests();
            }
        }
    }

    /// <summary>The caller holds the lock.</summary>
    private void ServeRequests()
    {
        uint events = Interlocked.And(ref State->PendingEvents, ~RemoteEvents);
        if ((events & (uint)VpEvents.FlushTlb) != 0)
        {
            Mmu.FlushAll();
        }

        foreach (ulong gpn in _trackedPages)
        {
            Mmu.DropWrites(gpn);
            Memory.WritesDropped(gpn);
        }

        _trackedPages.Clear();
        Volatile.Write(ref _acknowledged, _requested);
    }

    /// <inheritdoc/>
    public void CodeTracked(ulong gpn)
    {
        if (!ReferenceEquals(s_current, this))
        {
            lock (_requestLock)
            {
                if (_running)
                {
                    _trackedPages.Add(gpn);
                    Kick(VpEvents.Engine);
                    return;
                }

                // The VP cannot start before the lock is free: its translations are ours meanwhile.
                Mmu.DropWrites(gpn);
            }
        }
        else
        {
            Mmu.DropWrites(gpn);
        }

        Memory.WritesDropped(gpn);
    }

    private void EnterRun()
    {
        s_current = this;
        _paced = false;
        lock (_requestLock)
        {
            // Whatever was asked meanwhile, also when a reset took the event bit away.
            ServeRequests();
            _running = true;
        }
    }

    private void LeaveRun()
    {
        // Halted with IF clear, only an NMI or INIT helps: an interrupt that cannot be taken must not keep the thread awake.
        if (InterruptDeferred && !(Halted && (State->RFlags & Flags.IF) == 0))
        {
            InterruptDeferred = false;
            Kick(VpEvents.Interrupt);
        }

        lock (_requestLock)
        {
            // Nothing stays queued while the VP sleeps: code on a page would not settle.
            ServeRequests();
            _running = false;
        }

        s_current = null;
    }

    private long RequestFlush()
    {
        lock (_requestLock)
        {
            Kick(VpEvents.FlushTlb);
            return ++_requested;
        }
    }

    private void Wait(long ticket)
    {
        Vp? self = s_current;
        SpinWait spin = default;
        while (Volatile.Read(ref _running) && Volatile.Read(ref _acknowledged) < ticket)
        {
            self?.ServiceRemoteRequests();
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    /// <summary>Nobody waits: memory that went away stays allocated, and the guest cannot tell a late access from an early one.</summary>
    private void OnLayoutChanged(ulong gpn, ulong count)
    {
        if (ReferenceEquals(s_current, this))
        {
            Mmu.FlushAll();
        }
        else
        {
            _ = RequestFlush();
        }
    }

    /// <returns>True when Run must return.</returns>
    private bool ServiceEvents(VpState* s, out VpExit exit)
    {
        exit = VpExit.Event;
        ServiceRemoteRequests();
        uint events = Volatile.Read(ref s->PendingEvents);
        if ((events & Pace) != 0)
        {
            if (_paced)
            {
                return true;
            }

            _paced = true;
        }

        if ((events & (uint)VpEvents.Stop) != 0)
        {
            Interlocked.And(ref s->PendingEvents, ~(uint)VpEvents.Stop);
            return true;
        }

        if ((events & (uint)VpEvents.Nmi) != 0 && s->NmiBlocked == 0 && s->InterruptShadow == 0)
        {
            Interlocked.And(ref s->PendingEvents, ~(uint)VpEvents.Nmi);
            Halted = false;
            Exceptions.DeliverNmi(this);
            return false;
        }

        if ((events & (uint)VpEvents.Interrupt) != 0 || InterruptDeferred)
        {
            TakeInterrupt(s);
        }

        return false;
    }

    private void TakeInterrupt(VpState* s)
    {
        Interlocked.And(ref s->PendingEvents, ~(uint)VpEvents.Interrupt);
        if ((s->RFlags & Flags.IF) == 0 || s->InterruptShadow != 0)
        {
            InterruptDeferred = true;
            return;
        }

        // The bit is clear before the question: a vector that arrives meanwhile sets it again.
        InterruptDeferred = false;
        int vector = Intercepts.AcknowledgeInterrupt();
        if (vector >= 0)
        {
            Halted = false;
            Kick(VpEvents.Interrupt);
            Exceptions.DeliverInterrupt(this, (byte)vector);
        }
    }
}

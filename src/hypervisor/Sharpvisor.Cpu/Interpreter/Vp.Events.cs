// What other threads ask of a VP: interrupts, TLB flushes, acknowledgements of code tracking, stop.
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

internal sealed unsafe partial class Vp
{
    [ThreadStatic]
    private static Vp? s_current;

    private readonly Lock _requestLock = new();
    private readonly List<ulong> _trackedPages = [];
    private long _requested;
    private long _acknowledged;
    private int _running;

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

        Wait(Request(VpEvents.FlushTlb));
    }

    /// <summary>Serves requests of other threads; called at block boundaries and while this VP itself waits for another.</summary>
    public void ServiceRemoteRequests()
    {
        const uint remote = (uint)(VpEvents.FlushTlb | VpEvents.Engine);
        if ((Volatile.Read(ref State->PendingEvents) & remote) == 0)
        {
            return;
        }

        lock (_requestLock)
        {
            uint events = Interlocked.And(ref State->PendingEvents, ~remote);
            if ((events & (uint)VpEvents.FlushTlb) != 0)
            {
                Mmu.FlushAll();
            }

            foreach (ulong gpn in _trackedPages)
            {
                Mmu.DropWrites(gpn);
            }

            _trackedPages.Clear();
            Volatile.Write(ref _acknowledged, _requested);
        }
    }

    private void EnterRun()
    {
        s_current = this;

        // A full fence: either the requester sees us running and waits, or we see its request before the first instruction.
        _ = Interlocked.Exchange(ref _running, 1);
        ServiceRemoteRequests();
    }

    private void LeaveRun()
    {
        // Halted with IF clear, only an NMI or INIT helps: an interrupt that cannot be taken must not keep the thread awake.
        if (InterruptDeferred && !(Halted && (State->RFlags & Flags.IF) == 0))
        {
            InterruptDeferred = false;
            Kick(VpEvents.Interrupt);
        }

        _ = Interlocked.Exchange(ref _running, 0);
        s_current = null;
    }

    private long Request(VpEvents bit, ulong? trackedGpn = null)
    {
        lock (_requestLock)
        {
            if (trackedGpn is ulong gpn)
            {
                _trackedPages.Add(gpn);
            }

            long ticket = ++_requested;
            Kick(bit);
            return ticket;
        }
    }

    private void Wait(long ticket)
    {
        Vp? self = s_current;
        SpinWait spin = default;
        while (Volatile.Read(ref _running) != 0 && Volatile.Read(ref _acknowledged) < ticket)
        {
            self?.ServiceRemoteRequests();
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    private void OnCodeTracked(ulong gpn)
    {
        if (ReferenceEquals(s_current, this))
        {
            Mmu.DropWrites(gpn);
            return;
        }

        Wait(Request(VpEvents.Engine, gpn));
    }

    private void OnLayoutChanged(ulong gpn, ulong count) => RequestTlbFlush();

    /// <returns>True when Run must return.</returns>
    private bool ServiceEvents(VpState* s, out VpExit exit)
    {
        exit = VpExit.Event;
        ServiceRemoteRequests();
        uint events = Volatile.Read(ref s->PendingEvents);
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

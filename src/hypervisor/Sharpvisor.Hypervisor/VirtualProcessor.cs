// One virtual processor: its host thread, the loop around the engine, HLT, and the INIT/SIPI state machine
// (Intel SDM Vol. 3A, 9.4 and 11.4.7).
using System.Globalization;
using Sharpvisor.Core;
using Sharpvisor.Core.Interop;

namespace Sharpvisor.Hypervisor;

/// <summary>A VP of a <see cref="Partition"/>.</summary>
public sealed partial class VirtualProcessor : ILocalApicOwner
{
    private readonly Partition _partition;
    private readonly IVpEngine _engine;
    private readonly InterceptCounters _counters;

    // The VP sleeps on the event, and parks on the monitor; everything that could end either first changes state, then looks at the flag.
    private readonly HostEvent _wake = new();
    private readonly object _gate = new();
    private bool _sleeping;
    private bool _waiting;
    private bool _parked = true;
    private Thread? _thread;

    private uint _requests;
    private byte _startupPage;
    private bool _waitForStartup;
    private Suspension _suspension;
    private bool _idleRequested;
    private readonly Lock _nmiLock = new();
    private bool _secondNmi;
    private long _runNanoseconds;
    private long _runStart = -1;

    internal VirtualProcessor(Partition partition, int index, IVpEngineFactory engines, InterceptCounters counters)
    {
        _partition = partition;
        _counters = counters;
        Index = index;
        _engine = engines.Create(index, partition.Memory, this);
        Registers = new VpRegisters(_engine);
        Apic = new LocalApic(index, partition.ApicBus, partition.Timers, this);
        if (partition.Options.HyperVInterface)
        {
            Synic = new Synic(this, partition.Memory, partition.Timers, counters);
            _synthetic = new SyntheticMsr(this, partition, Synic);
            _hypercalls = new HypercallDispatcher(partition, this, counters);
        }

        PowerOn();
    }

    [Flags]
    private enum Requests : uint
    {
        None = 0,
        Stop = 1,
        Freeze = 2,
        Init = 4,
        Startup = 8,
    }

    private enum Suspension
    {
        None,
        /// <summary>HLT: an interrupt ends it when IF is set.</summary>
        Halt,
        /// <summary>
        /// HV_X64_MSR_GUEST_IDLE: an interrupt that arrived ends it, even when IF is clear or a handler of its priority runs. Linux's
        /// spinlocks sleep so inside handlers and are woken by a vector of their own class (arch/x86/hyperv/hv_spinlock.c).
        /// </summary>
        Idle,
    }

    /// <summary>VP index, APIC id and position in the partition.</summary>
    public int Index { get; }

    /// <summary>The VP's registers; use them only before Start, while paused, or on the VP's thread.</summary>
    public VpRegisters Registers { get; }

    /// <summary>Guest instructions retired so far (approximate while running).</summary>
    public long Instructions => _engine.Instructions;

    /// <inheritdoc cref="IVpEngine.AddStatistics"/>
    public void AddStatistics(Statistics statistics) => _engine.AddStatistics(statistics);

    /// <summary>One line for a person: where the VP is and what it waits for. Exact only while it does not run.</summary>
    public string Describe()
    {
        ref VpState state = ref Registers.State;
        string activity = _waitForStartup ? "waits for SIPI" : _suspension != Suspension.None ? _suspension.ToString() : "runs";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"VP {Index}: {activity}, RIP {state.Rip:x}, RSP {Registers[Gpr.Rsp]:x}, RFLAGS {state.RFlags:x}, events {Registers.PendingEvents}, {Apic.Describe()}");
    }

    internal LocalApic Apic { get; }

    /// <summary>Null without the Hyper-V interface.</summary>
    internal Synic? Synic { get; }

    internal IVpEngine Engine => _engine;

    ulong ILocalApicOwner.TscOffset => Registers.State.TscOffset;

    /// <summary>HV_X64_MSR_VP_RUNTIME: time this VP was executing, in 100 ns.</summary>
    internal ulong RuntimeTicks100ns
    {
        get
        {
            long start = _runStart;
            long running = start >= 0 ? _partition.Clock.Nanoseconds - start : 0;
            return (ulong)(_runNanoseconds + running) / 100;
        }
    }

    /// <inheritdoc/>
    void ILocalApicOwner.Notify(VpEvents events) => Notify(events);

    void ILocalApicOwner.PostInit()
    {
        uint old;
        do
        {
            // A SIPI sent before this INIT is void.
            old = Volatile.Read(ref _requests);
        }
        while (Interlocked.CompareExchange(ref _requests, (old | (uint)Requests.Init) & ~(uint)Requests.Startup, old) != old);
        Notify(VpEvents.Stop);
    }

    void ILocalApicOwner.PostStartup(byte page)
    {
        Volatile.Write(ref _startupPage, page);
        Request(Requests.Startup);
    }

    internal void Notify(VpEvents events)
    {
        if ((events & VpEvents.Nmi) != 0)
        {
            KickNmi();
        }
        else
        {
            _engine.Kick(events);
        }

        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _sleeping))
        {
            _wake.Signal();
        }

        if (Volatile.Read(ref _waiting))
        {
            lock (_gate)
            {
                Monitor.PulseAll(_gate);
            }
        }
    }

    private void KickNmi()
    {
        // Two senders that both found none pending would become one NMI.
        lock (_nmiLock)
        {
            bool pending = (Registers.PendingEvents & VpEvents.Nmi) != 0 && Registers.State.NmiBlocked == 0;
            if (pending)
            {
                // Two NMIs before the first is taken are two (Intel SDM Vol. 3A, 6.7.1: one in service, one latched).
                Volatile.Write(ref _secondNmi, true);
            }

            _engine.Kick(pending ? VpEvents.Interrupt : VpEvents.Nmi);
        }
    }

    internal void Start()
    {
        lock (_gate)
        {
            _parked = false;
        }

        _thread = new Thread(ThreadMain, 1 << 20) { IsBackground = true, Name = $"vp{Index}" };
        _thread.Start();
    }

    internal void RequestStop() => Request(Requests.Stop);

    internal void Freeze() => Request(Requests.Freeze);

    internal void Unfreeze()
    {
        Interlocked.And(ref _requests, ~(uint)Requests.Freeze);
        lock (_gate)
        {
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Waits until the VP executes nothing. Not for the VP's own thread.</summary>
    internal void WaitUntilParked()
    {
        if (Thread.CurrentThread == _thread)
        {
            return;
        }

        lock (_gate)
        {
            while (!_parked)
            {
                Monitor.Wait(_gate);
            }
        }
    }

    internal void Join()
    {
        if (_thread != null && Thread.CurrentThread != _thread)
        {
            _thread.Join();
        }
    }

    /// <summary>Power-on state; the VP must be parked.</summary>
    internal void PowerOn()
    {
        Interlocked.And(ref _requests, (uint)(Requests.Stop | Requests.Freeze));
        _engine.Reset(powerOn: true);
        Registers.ClearEvents(VpEvents.Interrupt | VpEvents.Nmi);
        Synic?.Reset();
        _synthetic?.Reset();
        Apic.Reset(powerOn: true);
        _suspension = Suspension.None;
        _idleRequested = false;
        _secondNmi = false;
        _waitForStartup = Index != 0;
    }

    internal void DisposeEngine()
    {
        Apic.Dispose();
        Synic?.Dispose();
        _engine.Dispose();
    }

    /// <summary>Latches the second of two NMIs once the engine has taken the first. VP thread.</summary>
    internal bool LatchSecondNmi()
    {
        if (!Volatile.Read(ref _secondNmi) || (Registers.PendingEvents & VpEvents.Nmi) != 0)
        {
            return false;
        }

        Volatile.Write(ref _secondNmi, false);
        _engine.Kick(VpEvents.Nmi);
        return true;
    }

    /// <summary>Suspends the VP after the instruction that read HV_X64_MSR_GUEST_IDLE.</summary>
    internal void RequestIdle()
    {
        _idleRequested = true;
        _engine.Kick(VpEvents.Stop);
    }

    private void Request(Requests request)
    {
        Interlocked.Or(ref _requests, (uint)request);
        Notify(VpEvents.Stop);
    }

    private void ThreadMain()
    {
        try
        {
            while (Step())
            {
            }
        }
#pragma warning disable CA1031 // A failure of the worker on one VP must end this VM in order, not the process.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            _partition.ReportExit(new PartitionExit(PartitionExitReason.Failure, Index, Message: failure.ToString()), freeze: true);
        }
        finally
        {
            lock (_gate)
            {
                _parked = true;
                Monitor.PulseAll(_gate);
            }
        }
    }

    /// <returns>False when the thread should end.</returns>
    private bool Step()
    {
        if (Volatile.Read(ref _requests) != 0 && !HandleRequests())
        {
            return false;
        }

        if (_waitForStartup || _suspension != Suspension.None)
        {
            if (WaitForWork())
            {
                // The engine may have taken the event bit before there was something to deliver: have it ask again.
                _suspension = Suspension.None;
                _engine.Kick(VpEvents.Interrupt);
            }

            return true;
        }

        _runStart = _partition.Clock.Nanoseconds;
        VpExit exit = _engine.Run();
        _runNanoseconds += _partition.Clock.Nanoseconds - _runStart;
        _runStart = -1;
        switch (exit)
        {
            case VpExit.Halt:
                _counters.Halt.Increment();
                _suspension = Suspension.Halt;
                break;
            case VpExit.Shutdown:
                _partition.ReportExit(new PartitionExit(PartitionExitReason.TripleFault, Index), freeze: true);
                break;
            default:
                // Whoever asks after this sets the bit again, so no request is lost.
                Registers.ClearEvents(VpEvents.Stop);
                break;
        }

        if (_idleRequested)
        {
            _idleRequested = false;
            _suspension = _suspension == Suspension.Halt ? Suspension.Halt : Suspension.Idle;
        }

        return true;
    }

    private bool HandleRequests()
    {
        var requests = (Requests)Volatile.Read(ref _requests);
        if ((requests & Requests.Stop) != 0)
        {
            return false;
        }

        if ((requests & Requests.Freeze) != 0)
        {
            Park();
            return true;
        }

        requests = (Requests)Interlocked.And(ref _requests, ~(uint)(Requests.Init | Requests.Startup));
        if ((requests & Requests.Init) != 0)
        {
            Init();
        }

        if ((requests & Requests.Startup) != 0 && _waitForStartup)
        {
            Startup(Volatile.Read(ref _startupPage));
        }

        return true;
    }

    private void Init()
    {
        _engine.Reset(powerOn: false);
        Registers.ClearEvents(VpEvents.Interrupt | VpEvents.Nmi);
        Apic.Reset(powerOn: false);
        _suspension = Suspension.None;
        _idleRequested = false;
        _secondNmi = false;
        _waitForStartup = Index != 0;
    }

    private void Startup(byte page)
    {
        ref SegmentRegister cs = ref Registers.Segment(Segment.Cs);
        cs.Selector = (ushort)(page << 8);
        cs.Base = (ulong)page << 12;
        Registers.State.Rip = 0;
        _waitForStartup = false;
    }

    private void Park()
    {
        lock (_gate)
        {
            _parked = true;
            Volatile.Write(ref _waiting, true);
            Interlocked.MemoryBarrier();
            Monitor.PulseAll(_gate);
            while (((Requests)Volatile.Read(ref _requests) & (Requests.Freeze | Requests.Stop)) == Requests.Freeze)
            {
                Monitor.Wait(_gate);
            }

            Volatile.Write(ref _waiting, false);
            _parked = false;
        }
    }

    /// <summary>Sleeps, without host CPU, until the suspension ends or a request arrives.</summary>
    /// <returns>True when the suspension ended.</returns>
    private bool WaitForWork()
    {
        if (_suspension != Suspension.None && SuspensionEnds())
        {
            return true;
        }

        Volatile.Write(ref _sleeping, true);
        Interlocked.MemoryBarrier();
        try
        {
            while (true)
            {
                if (Volatile.Read(ref _requests) != 0)
                {
                    return false;
                }

                if (_suspension != Suspension.None && SuspensionEnds())
                {
                    return true;
                }

                _wake.Wait();
            }
        }
        finally
        {
            Volatile.Write(ref _sleeping, false);
        }
    }

    private bool SuspensionEnds()
    {
        LatchSecondNmi();
        bool nmi = (Registers.PendingEvents & VpEvents.Nmi) != 0 && Registers.State.NmiBlocked == 0;
        return nmi || (_suspension == Suspension.Idle ? Apic.TakeArrival() : Registers.InterruptsEnabled && Apic.HasDeliverable);
    }
}

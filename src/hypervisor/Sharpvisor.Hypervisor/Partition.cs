// One child partition: its guest memory, virtual processors, local APICs, SynIC and timers, and its life cycle
// (TLFS "Partitions" and "Virtual Processors"). It knows no device: accesses leave through IInterceptHandler.
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

/// <summary>
/// A partition. Public members are thread-safe unless they say otherwise. Create it, set the devices up, set the boot
/// processor's registers, <see cref="Start"/>, then take exits with <see cref="WaitForExit"/>.
/// </summary>
public sealed partial class Partition : IPowerControl, IApicBus, ISynicPorts, ISintWires, IInterruptRedirection, IDisposable
{
    private const int MaxQueuedExits = 16;
    private readonly VirtualProcessor[] _processors;
    private readonly PausableClock _pausableClock = new();
    private readonly TimerService? _ownTimers;
    private readonly Queue<PartitionExit> _exits = new();
    private readonly object _exitLock = new();
    private readonly Lock _lifeLock = new();
    private bool _started;
    private bool _stopped;

    /// <param name="memory">Guest physical memory; the caller keeps it alive longer than the partition.</param>
    /// <param name="engines">Creates one engine a VP.</param>
    /// <param name="options">What the guest sees.</param>
    /// <param name="handler">Takes port and MMIO intercepts.</param>
    /// <param name="statistics">Receives the counters.</param>
    /// <param name="trace">Receives a line for every intercept, hypercall and message; null for none.</param>
    /// <exception cref="ArgumentOutOfRangeException">An impossible processor count.</exception>
    public Partition(
        GuestMemory memory,
        IVpEngineFactory engines,
        PartitionOptions options,
        IInterceptHandler handler,
        Statistics statistics,
        ITraceSink? trace = null)
        : this(memory, engines, options, handler, statistics, trace, timers: null)
    {
    }

    /// <summary>With a timer service of the caller's: unit tests own time.</summary>
    internal Partition(
        GuestMemory memory,
        IVpEngineFactory engines,
        PartitionOptions options,
        IInterceptHandler handler,
        Statistics statistics,
        ITraceSink? trace,
        ITimerService? timers)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(engines);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(statistics);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.ProcessorCount, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.ProcessorCount, PartitionOptions.MaxProcessors);
        Memory = memory;
        Options = options;
        Handler = handler;
        TraceSink = trace;
        if (timers == null)
        {
            _ownTimers = new TimerService(
                _pausableClock,
                () => _pausableClock.IsPaused,
                failure => ReportExit(new PartitionExit(PartitionExitReason.Failure, Message: failure.ToString()), freeze: true));
            timers = _ownTimers;
        }

        Timers = timers;
        ApicBus = new ApicBus(options.ProcessorCount);
        CpuidModel = new Cpuid(options);
        Ports = new SynicPorts();
        Shared = new PartitionRegisters(memory, timers.Clock);
        var counters = new InterceptCounters(statistics);
        _processors = new VirtualProcessor[options.ProcessorCount];
        Redirection = new InterruptRedirection(_processors);
        for (int i = 0; i < _processors.Length; i++)
        {
            _processors[i] = new VirtualProcessor(this, i, engines, counters);
        }
    }

    /// <summary>Raised for every exit, on the thread it happened on (often a VP's): must not block or stop the partition.</summary>
    public event Action<PartitionExit>? Exited;

    public PartitionOptions Options { get; }

    public GuestMemory Memory { get; }

    /// <summary>Partition time; stands still while paused.</summary>
    public IPartitionClock Clock => Timers.Clock;

    /// <summary>The partition reference time in 100 ns, as the guest reads it from the reference TSC page.</summary>
    public ulong ReferenceTime => ReferenceTsc.FromNanoseconds(Clock.Nanoseconds);

    /// <summary>Timers in partition time, for devices too.</summary>
    public ITimerService Timers { get; }

    public IReadOnlyList<VirtualProcessor> Processors => _processors;

    /// <summary>The PIC pair, for ExtINT acknowledge cycles. Set before Start.</summary>
    public IExternalInterruptSource? ExternalInterrupts
    {
        get => ApicBus.ExternalInterrupts;
        set => ApicBus.ExternalInterrupts = value;
    }

    internal ApicBus ApicBus { get; }

    internal InterruptRedirection Redirection { get; }

    internal Cpuid CpuidModel { get; }

    internal SynicPorts Ports { get; }

    internal PartitionRegisters Shared { get; }

    internal IInterceptHandler Handler { get; }

    internal ITraceSink? TraceSink { get; }

    internal bool IsTracing => TraceSink is { IsEnabled: true };

    /// <summary>Starts a host thread for every VP. Once.</summary>
    public void Start()
    {
        lock (_lifeLock)
        {
            if (_started || _stopped)
            {
                return;
            }

            _started = true;
            foreach (VirtualProcessor processor in _processors)
            {
                processor.Start();
            }
        }
    }

    /// <summary>Ends all VP threads and waits for them (unless called on one of them). The partition cannot be started again.</summary>
    public void Stop()
    {
        lock (_lifeLock)
        {
            _stopped = true;
        }

        foreach (VirtualProcessor processor in _processors)
        {
            processor.RequestStop();
        }

        foreach (VirtualProcessor processor in _processors)
        {
            processor.Join();
        }

        ReportExit(new PartitionExit(PartitionExitReason.Stopped), freeze: false);
    }

    /// <summary>Stops time and all VPs; returns when none executes. Not for VP threads or timer callbacks.</summary>
    public void Pause()
    {
        foreach (VirtualProcessor processor in _processors)
        {
            processor.Freeze();
        }

        foreach (VirtualProcessor processor in _processors)
        {
            processor.WaitUntilParked();
        }

        _pausableClock.Pause();
    }

    /// <summary>Undoes <see cref="Pause"/>, and the freeze that comes with a power-off, reset or triple fault.</summary>
    public void Resume()
    {
        _pausableClock.Resume();
        _ownTimers?.Reschedule();
        foreach (VirtualProcessor processor in _processors)
        {
            processor.Unfreeze();
        }
    }

    /// <summary>
    /// Machine reset: pauses, then puts VPs, APICs, SynIC, synthetic registers and the partition's overlay pages into their
    /// power-on state. Reset the devices, set the boot processor's registers anew, then <see cref="Resume"/>.
    /// </summary>
    public void ResetAll()
    {
        Pause();
        foreach (VirtualProcessor processor in _processors)
        {
            processor.PowerOn();
        }

        Shared.Reset();
    }

    /// <summary>Takes the oldest exit not yet taken, waiting for one.</summary>
    /// <returns>Null after the timeout.</returns>
    public PartitionExit? WaitForExit(TimeSpan timeout)
    {
        long deadline = timeout == Timeout.InfiniteTimeSpan
            ? long.MaxValue
            : Environment.TickCount64 + (long)timeout.TotalMilliseconds;
        lock (_exitLock)
        {
            PartitionExit? exit;
            while (!_exits.TryDequeue(out exit))
            {
                long left = deadline == long.MaxValue ? Timeout.Infinite : deadline - Environment.TickCount64;
                if (left < Timeout.Infinite || left == 0 || !Monitor.Wait(_exitLock, (int)Math.Min(left, int.MaxValue)))
                {
                    return null;
                }
            }

            return exit;
        }
    }

    /// <summary>Freezes the VPs and reports <see cref="PartitionExitReason.PowerOff"/>.</summary>
    public void PowerOff() => ReportExit(new PartitionExit(PartitionExitReason.PowerOff), freeze: true);

    /// <summary>Freezes the VPs and reports <see cref="PartitionExitReason.Reset"/>; the worker resets and resumes.</summary>
    public void Reset() => ReportExit(new PartitionExit(PartitionExitReason.Reset), freeze: true);

    /// <inheritdoc/>
    void IPowerControl.Exit(int status) =>
        ReportExit(new PartitionExit(PartitionExitReason.DebugExit, Status: status), freeze: true);

    /// <summary>The chipset's NMI wire, LINT1 of every local APIC.</summary>
    public void InjectNmi()
    {
        foreach (VirtualProcessor processor in _processors)
        {
            processor.Apic.PulseLint1();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Stop();
        _ownTimers?.Dispose();
        foreach (VirtualProcessor processor in _processors)
        {
            processor.DisposeEngine();
        }
    }

    internal void ReportExit(PartitionExit exit, bool freeze)
    {
        if (freeze)
        {
            foreach (VirtualProcessor processor in _processors)
            {
                processor.Freeze();
            }
        }

        lock (_exitLock)
        {
            // A guest can report crashes in a loop: what nobody takes is dropped.
            if (_exits.Count < MaxQueuedExits || exit.Reason != PartitionExitReason.GuestCrash)
            {
                _exits.Enqueue(exit);
                Monitor.PulseAll(_exitLock);
            }
        }

        Exited?.Invoke(exit);
    }
}

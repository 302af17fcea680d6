// The composition root of one VM: partition, chipset, VMBus and VSPs, wired and booted. Everything above it sees only this class.
using System.Diagnostics;
using Sharpvisor.Core;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Lockstep;
using Sharpvisor.Cpu.Translator;
using Sharpvisor.Devices;
using Sharpvisor.Devices.Boot;
using Sharpvisor.Devices.Ide;
using Sharpvisor.Hypervisor;
using Sharpvisor.VMBus;
using Sharpvisor.Vsp.Socket;

namespace Sharpvisor.Worker;

/// <summary>One virtual machine. Create, Start, await Completion, Dispose.</summary>
public sealed class VirtualMachine : IDisposable
{
    private readonly VmOptions _options;
    private readonly BootImages _images;
    private readonly GuestMemory _memory;
    private readonly VmDisks _disks;
    private readonly VmNetwork _network;
    private readonly Partition _partition;
    private readonly Chipset _chipset;
    private readonly VmbusServer? _vmbus;
    private readonly SocketVsp? _sockets;
    private readonly VmNvmeDisks _nvme;
    private readonly TaskCompletionSource<VmResult> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Stopwatch _wallClock = new();
    private readonly Lock _lifeLock = new();
    private bool _paused;
    private bool _ended;
    private Thread? _supervisor;

    private VirtualMachine(VmOptions options)
    {
        _options = options;
        _images = BootImages.Read(options);
        _disks = new VmDisks(options);
        try
        {
            _network = new VmNetwork(options);
        }
        catch
        {
            _disks.Dispose();
            throw;
        }

        try
        {
            _memory = new GuestMemory(options.MemoryBytes, options.MaximumMemoryBytes);
        }
        catch (IOException e)
        {
            _network.Dispose();
            _disks.Dispose();
            throw new VmConfigurationException($"--memory {options.MemoryBytes >> 20}M: {e.Message}");
        }

        var bus = new DeviceBus();
        _partition = new Partition(
            _memory,
            CreateEngineFactory(options),
            new PartitionOptions
            {
                ProcessorCount = options.Processors,
                HyperVInterface = options.Integration,
                DirectTimers = options.DirectTimers,
            },
            bus,
            Statistics,
            options.Trace);
        _chipset = new Chipset(
            new ChipsetOptions
            {
                Processors = options.Processors,
                Integration = options.Integration,
                Com1Output = options.SerialOutput,
                DebugExit = options.DebugExit,
                FwCfg = options.DebugExit,
                TestDevices = options.TestDevices,
                VmId = Guid.NewGuid(),
            },
            _memory,
            bus,
            _partition,
            _partition.Timers,
            _partition);
        _partition.ExternalInterrupts = _chipset.ExternalInterruptSource;
        var ide = new Piix4Ide(
            bus, _memory, _chipset.InterruptRouter.CreateIsaLine(14), _chipset.InterruptRouter.CreateIsaLine(15), Statistics);
        _disks.AttachEmulated(ide);
        _chipset.PciBus.Add(ide);
        _network.AttachEmulated(_chipset.PciBus, _memory, _partition.Timers, Statistics);
        Console = new VmConsole(options, _memory, bus, _chipset);
        if (options.Integration)
        {
            _vmbus = new VmbusServer(_memory, _partition, Statistics, options.Trace);
            _disks.OfferSynthetic(_vmbus, options.Processors, Statistics);
            _network.OfferSynthetic(_vmbus, options.Processors, Statistics);
            Integration = new VmIntegration(() => _partition.ReferenceTime, Statistics);
            Integration.Offer(_vmbus, options.Services);
            Console.Offer(_vmbus);
            if (options.TestDevices)
            {
                _ = new HypervTestDevice(bus, _partition, _partition);
            }
        }

        _nvme = new VmNvmeDisks(_vmbus, bus, _memory, _partition, Statistics);
        try
        {
            foreach (DiskOptions disk in options.Disks.Where(d => d.Controller == DiskController.Nvme))
            {
                _ = _nvme.Add(disk);
            }

            _sockets = ListenForSockets();
            LoadGuest();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>False: this host cannot run translated code, and every engine is the interpreter.</summary>
    public static bool HasTranslator => TranslatorEngineFactory.IsSupported;

    /// <summary>Every counter of this VM; see <see cref="StatisticNames"/>.</summary>
    public Statistics Statistics { get; } = new();

    /// <summary>What can be asked of the guest's integration components; null when the VM has none.</summary>
    public VmIntegration? Integration { get; }

    /// <summary>The VM's screen, keyboard and mouse.</summary>
    public VmConsole Console { get; }

    /// <summary>The disks now attached, and the LUN of those on the SCSI controller.</summary>
    public IReadOnlyList<(DiskOptions Options, int? Lun)> Disks => _disks.List();

    /// <summary>The NVMe disks now attached, and the number that <see cref="RemoveNvmeDiskAsync"/> takes.</summary>
    public IReadOnlyList<(DiskOptions Options, int Index)> NvmeDisks => _nvme.List();

    /// <summary>The guest's RAM, the balloon's share included.</summary>
    public ulong MemoryBytes => _memory.RamBytes;

    /// <summary>What it may grow to by hot add.</summary>
    public ulong MaximumMemoryBytes => _memory.MaximumBytes;

    public bool IsPaused
    {
        get
        {
            lock (_lifeLock)
            {
                return _paused;
            }
        }
    }

    /// <summary>Wall-clock time since <see cref="Start"/>.</summary>
    public TimeSpan Uptime => _wallClock.Elapsed;

    /// <summary>Ends with how the VM ended.</summary>
    public Task<VmResult> Completion => _completion.Task;

    /// <summary>Builds a VM: reads kernel and initrd, opens and locks disks. Nothing runs yet.</summary>
    /// <exception cref="VmConfigurationException">Something cannot be used; the message is one line and names it.</exception>
    public static VirtualMachine Create(VmOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new VirtualMachine(options);
    }

    public void Start()
    {
        _wallClock.Start();
        if (_options.SerialInput is { } input)
        {
            SerialInput.Start(input, _chipset.Com1);
        }

        _supervisor = new Thread(Supervise) { IsBackground = true, Name = "vm" };
        _supervisor.Start();
        _partition.Start();
    }

    /// <summary>Stops time, all VPs and the synthetic devices; returns when none runs. False when the VM has ended or is paused already.</summary>
    public bool Pause()
    {
        lock (_lifeLock)
        {
            if (_paused || _ended)
            {
                return false;
            }

            _paused = true;
            Integration?.Pause();
            _partition.Pause();
            _network.Pause();
            _vmbus?.Pause();
            return true;
        }
    }

    /// <summary>Undoes <see cref="Pause"/> and sets the guest's clock. False when the VM was not paused.</summary>
    public bool Resume()
    {
        lock (_lifeLock)
        {
            if (!_paused || _ended)
            {
                return false;
            }

            _paused = false;
            _vmbus?.Resume();
            _network.Resume();
            _partition.Resume();
            Integration?.Resume();
            return true;
        }
    }

    /// <summary>Ends the VM as pulling its plug would. <see cref="Completion"/> follows.</summary>
    public void Stop() => _partition.Stop();

    /// <summary>
    /// Attaches a disk while the VM runs: to the synthetic SCSI controller, returning its LUN, or on an NVMe controller of its own, returning
    /// that one's number. The guest is told to look.
    /// </summary>
    /// <exception cref="VmConfigurationException">The disk cannot be used, or the VM has no such controller.</exception>
    public int AddDisk(DiskOptions disk)
    {
        ArgumentNullException.ThrowIfNull(disk);
        return disk.Controller == DiskController.Nvme ? _nvme.Add(disk) : _disks.Add(disk);
    }

    /// <summary>Has the guest eject an NVMe disk, or takes it away when it does not in time; ends when its file is closed. False: there is none.</summary>
    public Task<bool> RemoveNvmeDiskAsync(int index) => _nvme.RemoveAsync(index);

    /// <summary>
    /// Takes a disk away from the synthetic SCSI controller, whether or not the guest still uses it; returns when its file is
    /// closed. LUNs count from 0 in the order of <see cref="VmOptions.Disks"/>. False: there is none with this LUN.
    /// </summary>
    public bool RemoveDisk(int lun) => _disks.Remove(lun);

    /// <summary>The network cards there are.</summary>
    public IReadOnlyList<NetworkCardState> Networks => _network.List();

    /// <summary>Adds a synthetic network card while the VM runs, plugged into a network named as for <c>--net</c>. Returns its number.</summary>
    /// <exception cref="VmConfigurationException">The network cannot be used, or the VM takes no such card.</exception>
    public int AddNetworkCard(string network, MacAddress address) => _network.Add(network, address);

    /// <summary>Takes a synthetic network card away. False: there is none with this number.</summary>
    public bool RemoveNetworkCard(int id) => _network.Remove(id);

    /// <summary>Plugs a synthetic card's cable in or out. False: there is none with this number.</summary>
    public bool SetLink(int id, bool connected) => _network.SetLink(id, connected);

    /// <summary>A line a VP for a person who wonders what the guest is doing.</summary>
    public IReadOnlyList<string> DescribeProcessors() => [.. _partition.Processors.Select(p => p.Describe())];

    /// <summary>Writes all counters as JSON (see <see cref="VmStatisticsReport"/>).</summary>
    public void WriteStatistics(Stream stream)
    {
        var engines = new Statistics();
        foreach (VirtualProcessor processor in _partition.Processors)
        {
            processor.AddStatistics(engines);
        }

        VmStatisticsReport.Write(
            stream,
            Statistics.Snapshot().Concat(engines.Snapshot()),
            _wallClock.Elapsed,
            _partition.Processors.Select(p => p.Instructions).ToArray());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Console.Dispose();
        _partition.Stop();
        _supervisor?.Join();
        if (_sockets is { } sockets)
        {
            sockets.Dispose();
            File.Delete(_options.VsockPath!);
        }

        // First: a channel that is to close may be blocked in its port.
        _network.Dispose();
        _vmbus?.Dispose();
        Integration?.Dispose();
        // Waits for I/O under way, whose completions still reach the controllers.
        _disks.Dispose();
        _nvme.Dispose();
        _chipset.Dispose();
        _partition.Dispose();
        _memory.Dispose();
    }

    private SocketVsp? ListenForSockets()
    {
        // The guest reaches PATH_PORT, so there must be room for a port.
        const int PortBytes = 11;
        return _options.VsockPath is not { } path ? null
            : _vmbus is null
                ? throw new VmConfigurationException($"--vsock {path}: Hyper-V sockets need VMBus, which a VM with --integration off does not have")
            : System.Text.Encoding.UTF8.GetByteCount(path) > HostSocket.MaxPathBytes - PortBytes
                ? throw new VmConfigurationException($"--vsock {path}: the path is too long for a socket")
            : new SocketVsp(_vmbus, HostSocket.Listen("--vsock", path), path);
    }

    private void LoadGuest()
    {
        try
        {
            _chipset.RunFirmware();
            foreach (VirtualProcessor processor in _partition.Processors)
            {
                BootProcessor.SetMemoryTypes(processor.Registers);
            }

            BootProcessor.Apply(_images.Load(_memory, _options.CommandLine, Console.PrepareVga()), _partition.Processors[0].Registers);
        }
        catch (BootException e)
        {
            throw new VmConfigurationException(e.Message);
        }
    }

    // One thread waits for the partition's exits: they arise on VP threads, which must not stop or reset themselves.
    private void Supervise()
    {
        VmResult? result = null;
        PartitionExit? crash = null;
        while (result is null)
        {
            PartitionExit exit = _partition.WaitForExit(Timeout.InfiniteTimeSpan)!;
            switch (exit.Reason)
            {
                case PartitionExitReason.GuestCrash:
                    // The guest goes on: it may still write its log out, and then resets, powers off or halts.
                    crash = exit;
                    result = Crashed(exit);
                    break;
                case PartitionExitReason.Reset when crash is null:
                    result = Reset();
                    break;
                default:
                    result = ToResult(exit);
                    break;
            }
        }

        lock (_lifeLock)
        {
            _ended = true;
        }

        _partition.Stop();
        _wallClock.Stop();
        _chipset.Com1.Flush();
        _completion.SetResult(result);
    }

    /// <returns>Null when the guest runs again.</returns>
    private VmResult? Reset()
    {
        try
        {
            lock (_lifeLock)
            {
                _partition.ResetAll();
                _vmbus?.Reset();
                _chipset.Reset();
                // Firmware tells of the memory there was at the start only.
                _memory.Shrink(0);
                LoadGuest();
                if (!_paused)
                {
                    _partition.Resume();
                }
            }

            return null;
        }
#pragma warning disable CA1031 // A failure of the worker ends this VM in order, not the process: nobody catches above this thread.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            return ToResult(new PartitionExit(PartitionExitReason.Failure, Message: failure.ToString()));
        }
    }

    /// <summary>What a user should know about the engine that runs in place of the one asked for; null: nothing.</summary>
    public static string? EngineNote(EngineKind engine) =>
        engine is EngineKind.Auto or EngineKind.Software && TranslatorEngineFactory.Unavailable() is { } reason
            ? $"no translator, the guest is interpreted: {reason}"
            : null;

    private static IVpEngineFactory CreateEngineFactory(VmOptions options) =>
        options.Engine switch
        {
            EngineKind.Auto or EngineKind.Software when TranslatorEngineFactory.Unavailable() == null =>
                new TranslatorEngineFactory(codeBytes: options.CodeCacheBytes),
            EngineKind.Lockstep => new LockstepEngineFactory(),
            _ => new InterpreterEngineFactory(),
        };

    private static VmResult ToResult(PartitionExit exit) => exit.Reason switch
    {
        PartitionExitReason.PowerOff => new VmResult(VmExitKind.PowerOff, 0, "power off"),
        PartitionExitReason.DebugExit => new VmResult(VmExitKind.DebugExit, exit.Status, "exit port"),
        PartitionExitReason.TripleFault => new VmResult(VmExitKind.Crash, 0, $"triple fault on VP {exit.VpIndex}"),
        PartitionExitReason.Stopped => new VmResult(VmExitKind.Stopped, 0, "stopped"),
        _ => new VmResult(VmExitKind.Crash, 0, $"the worker failed on VP {exit.VpIndex}: {exit.Message}"),
    };

    private static VmResult Crashed(PartitionExit exit)
    {
        string parameters = string.Join(' ', (exit.CrashParameters ?? []).Select(p => $"{p:x}"));
        return new VmResult(VmExitKind.Crash, 0, $"reported through HV_X64_MSR_CRASH_CTL, P0 to P4: {parameters}");
    }
}

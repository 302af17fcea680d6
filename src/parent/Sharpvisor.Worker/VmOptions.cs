// What a VM is made of: the management side fills this in, the worker builds it.
using Sharpvisor.Core;

namespace Sharpvisor.Worker;

/// <summary>Which execution engine runs the VPs.</summary>
public enum EngineKind
{
    Auto,
    Software,
    Interpreter,
    Kvm,
    /// <summary>Translator and interpreter side by side, stopping at the first difference. One VP.</summary>
    Lockstep,
}

/// <summary>The controller a disk is attached to.</summary>
public enum DiskController
{
    /// <summary>PIIX4 IDE; also offered as a synthetic disk when integration is on, as Hyper-V does.</summary>
    Ide,
    /// <summary>The synthetic SCSI controller: only reachable through VMBus.</summary>
    Scsi,
    /// <summary>An NVMe controller on a synthetic PCI bus (vPCI): only reachable through VMBus.</summary>
    Nvme,
}

/// <summary>One disk of a VM.</summary>
/// <param name="Path">Image file; the format is found by content.</param>
public sealed record DiskOptions(string Path, DiskController Controller, bool ReadOnly);

/// <summary>What kind of card a guest finds.</summary>
public enum NetworkCardKind
{
    /// <summary>On VMBus, driven by the guest's hv_netvsc.</summary>
    Synthetic,
    /// <summary>The emulated DEC 21140, Hyper-V's "legacy network adapter".</summary>
    Legacy,
}

/// <summary>One network card of a VM.</summary>
/// <param name="Network">What it is plugged into, as the user named it (for status and messages).</param>
/// <param name="CreatePort">
/// Makes the network's end of the cable; called once, when the VM is created. The VM disposes of it. Throws
/// <see cref="VmConfigurationException"/> when the network cannot be used.
/// </param>
public sealed record NetworkOptions(NetworkCardKind Kind, MacAddress Address, string Network, Func<INetworkPort> CreatePort);

/// <summary>One VM. Immutable.</summary>
public sealed record VmOptions
{
    public required string KernelPath { get; init; }

    public string? InitrdPath { get; init; }

    /// <summary>Appended to the initrd: more initramfs archives of the management side's own making.</summary>
    public ReadOnlyMemory<byte> ExtraInitrd { get; init; }

    public string CommandLine { get; init; } = "";

    public IReadOnlyList<DiskOptions> Disks { get; init; } = [];

    public IReadOnlyList<NetworkOptions> Networks { get; init; } = [];

    /// <summary>
    /// Makes a port of a network by its name, for cards added while the VM runs; throws <see cref="VmConfigurationException"/>. Null: there
    /// are no networks to plug into.
    /// </summary>
    public Func<string, INetworkPort>? OpenNetwork { get; init; }

    public ulong MemoryBytes { get; init; } = 512UL << 20;

    /// <summary>What memory may grow to while the VM runs; 0: it does not. Then both are multiples of 128 MiB.</summary>
    public ulong MaximumMemoryBytes { get; init; }

    public int Processors { get; init; } = 1;

    /// <summary>Off: no VMBus and no Hyper-V interface at all.</summary>
    public bool Integration { get; init; } = true;

    /// <summary>The integration services offered when <see cref="Integration"/> is on.</summary>
    public IntegrationServices Services { get; init; } = IntegrationServices.All;

    /// <summary>Screen and input devices.</summary>
    public ConsoleDevices Console { get; init; } = ConsoleDevices.All;

    /// <summary>The VGA adapter's mode when the guest starts: a linear frame buffer of this size; null: text.</summary>
    public (int Width, int Height)? FrameBuffer { get; init; }

    /// <summary>Where the guest's AF_VSOCK meets the host's unix sockets (see <see cref="Vsp.Socket.SocketVsp"/>); null: nowhere.</summary>
    public string? VsockPath { get; init; }

    public EngineKind Engine { get; init; } = EngineKind.Auto;

    /// <summary>The translator's memory for host code, of each VP: <see cref="VmLimits.MinimumCodeCacheBytes"/> and more.</summary>
    public int CodeCacheBytes { get; init; } = 64 << 20;

    /// <summary>The test guests' exit device at port 0xF4.</summary>
    public bool DebugExit { get; init; }

    /// <summary>The devices that CPU and interrupt controller test guests drive: pc-testdev and hyperv-testdev of qemu.</summary>
    public bool TestDevices { get; init; }

    /// <summary>
    /// Offers direct-mode synthetic timers, as Windows Server 2019 and later do. Off by default, as on 2016: Linux 6.1's hv_vmbus
    /// cannot be unloaded with them (its clean-up leaves the stopped timer bound as the clock event device).
    /// </summary>
    public bool DirectTimers { get; init; }

    public Stream SerialOutput { get; init; } = Stream.Null;

    /// <summary>Bytes for COM1's receiver; null: none.</summary>
    public Stream? SerialInput { get; init; }

    public ITraceSink? Trace { get; init; }
}

/// <summary>How a run ended.</summary>
public enum VmExitKind
{
    PowerOff,
    /// <summary>Panic MSR or triple fault; see <see cref="VmResult.Message"/>.</summary>
    Crash,
    /// <summary>The exit device; see <see cref="VmResult.ExitStatus"/>.</summary>
    DebugExit,
    /// <summary><see cref="VirtualMachine.Stop"/> was called.</summary>
    Stopped,
}

/// <param name="Message">For a crash: what is known about it, in one line.</param>
public sealed record VmResult(VmExitKind Kind, int ExitStatus, string Message);

/// <summary>The user's input cannot be used: one clear line that names the file or option.</summary>
public sealed class VmConfigurationException(string message) : Exception(message);

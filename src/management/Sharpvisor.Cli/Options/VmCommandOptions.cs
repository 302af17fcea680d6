// The options that every command which boots a VM shares, and their translation into VmOptions.
using System.CommandLine;
using System.CommandLine.Parsing;
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Options;

internal sealed class VmCommandOptions
{
    private readonly Argument<string?> _image = new("IMAGE")
    {
        Description = "Disk image to boot from",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<string?> _kernel = new("--kernel") { Description = "Linux bzImage or multiboot 1 ELF image", HelpName = "FILE" };
    private readonly Option<string?> _initrd = new("--initrd") { Description = "Initial RAM disk, or multiboot modules", HelpName = "FILE" };
    private readonly Option<string> _append = new("--append") { Description = "Kernel command line", HelpName = "TEXT", DefaultValueFactory = _ => "" };
    private readonly Option<string[]> _disk = new("--disk")
    {
        Description = "Disk image, format by content: FILE[,controller=scsi|ide|nvme][,readonly]; may be repeated",
        HelpName = "FILE",
        DefaultValueFactory = _ => [],
    };

    private readonly NetworkCommandOptions _network = new();
    private readonly Option<string> _generation = OneOf("--generation", "1: BIOS-era hardware", "1");
    private readonly Option<string> _integration = OneOf("--integration", "off: no VMBus and no Hyper-V interface", "on", "off");
    private readonly Option<string> _engine = OneOf(
        "--engine", "Execution engine", "auto", "software", "interpreter", "lockstep", "kvm");

    private readonly Option<int> _codeCache = new("--code-cache")
    {
        Description = "Memory for translated code of each processor, for example 64M",
        HelpName = "SIZE",
        DefaultValueFactory = _ => 64 << 20,
        CustomParser = ParseCodeCache,
    };

    private readonly Option<(ulong Bytes, ulong Maximum)> _memory = new("--memory")
    {
        Description = "Memory, for example 512M; with a maximum it can grow while the VM runs: 512M,max=2G",
        HelpName = "SIZE",
        DefaultValueFactory = _ => (512UL << 20, 0),
        CustomParser = ParseMemory,
    };

    private readonly Option<int> _processors = new("--processors")
    {
        Description = "Virtual processors, 1 to 8",
        HelpName = "N",
        DefaultValueFactory = _ => 1,
        CustomParser = ParseProcessors,
    };

    private readonly Option<TimeSpan?> _timeout = new("--timeout")
    {
        Description = "Give up after this time, exit 124; for example 120s",
        HelpName = "TIME",
        CustomParser = ParseTimeout,
    };

    private readonly Option<string?> _stats = new("--stats") { Description = "Write statistics as JSON when the VM ends", HelpName = "FILE" };
    private readonly Option<string?> _trace = new("--trace")
    {
        Description = "Write a line per intercept, hypercall and VMBus message",
        HelpName = "FILE",
    };

    private readonly Option<string?> _vsock = new("--vsock")
    {
        Description = "Guest AF_VSOCK to unix sockets: port N of CID 2 is PATH_N; PATH takes \"CONNECT N\" to reach the guest's port N",
        HelpName = "PATH",
    };

    private readonly Option<VideoMode> _video = new("--video")
    {
        Description = "What the screen is when the guest starts: text, or a frame buffer of a size; off: no display adapter at all",
        HelpName = "text|WIDTHxHEIGHT|off",
        DefaultValueFactory = _ => VideoMode.Text,
        CustomParser = VideoMode.Parse,
    };

    private readonly Option<string[]> _without = new("--without")
    {
        Description = $"Synthetic devices to leave out, of {LeftOutDevices.Names}; may be repeated",
        HelpName = "DEVICE,…",
        DefaultValueFactory = _ => [],
    };

    private readonly Option<bool> _debugExit = new("--debug-exit")
    {
        Description = "Exit port for test guests: byte v at port 0xf4 ends the run with status (v << 1) | 1",
    };

    private readonly Option<bool> _testDevices = new("--test-devices")
    {
        Description = "Devices for test guests: interrupt wires, a latch, MMIO memory, SINTs to fire (see docs/conformance.md)",
    };

    private readonly Option<bool> _directTimers = new("--direct-timers")
    {
        Description = "Offer direct-mode synthetic timers, as Windows Server 2019 does (implied by --test-devices)",
    };

    public void AddTo(Command command)
    {
        command.Arguments.Add(_image);
        foreach (Option option in (Option[])[_kernel, _initrd, _append, _disk, .. _network.All, _memory, _processors, _generation,
            _integration, _engine, _codeCache, _vsock, _video, _without, _timeout, _stats, _trace, _debugExit, _testDevices, _directTimers])
        {
            command.Options.Add(option);
        }
    }

    public TimeSpan? Timeout(ParseResult parsed) => parsed.GetValue(_timeout);

    public string? StatsPath(ParseResult parsed) => parsed.GetValue(_stats);

    public string? TracePath(ParseResult parsed) => parsed.GetValue(_trace);

    public bool HasKernel(ParseResult parsed) => parsed.GetValue(_kernel) is not null;

    /// <exception cref="VmConfigurationException">An option's value cannot be used; the message names it.</exception>
    public VmOptions ToVmOptions(ParseResult parsed)
    {
        if (parsed.GetValue(_image) is { } image)
        {
            throw new VmConfigurationException($"{image}: booting from a disk image needs firmware, which is not built yet; use --kernel and --disk");
        }

        if (parsed.GetValue(_engine) == "kvm")
        {
            throw new VmConfigurationException("--engine kvm is not built yet; use auto, software or interpreter");
        }

        CheckLockstep(parsed);
        EngineKind engine = Enum.Parse<EngineKind>(parsed.GetValue(_engine)!, ignoreCase: true);
        if (VirtualMachine.EngineNote(engine) is { } note)
        {
            Console.Error.WriteLine($"sharpvisor: {note}");
        }

        var options = new VmOptions
        {
            KernelPath = parsed.GetValue(_kernel) ?? throw new VmConfigurationException("--kernel FILE is required"),
            InitrdPath = parsed.GetValue(_initrd),
            CommandLine = parsed.GetValue(_append)!,
            Disks = [.. parsed.GetValue(_disk)!.Select(ParseDisk)],
            MemoryBytes = parsed.GetValue(_memory).Bytes,
            MaximumMemoryBytes = parsed.GetValue(_memory).Maximum,
            Processors = parsed.GetValue(_processors),
            VsockPath = parsed.GetValue(_vsock),
            Integration = parsed.GetValue(_integration) == "on",
            CodeCacheBytes = parsed.GetValue(_codeCache),
            Engine = engine,
            Console = parsed.GetValue(_video)!.Devices,
            FrameBuffer = parsed.GetValue(_video)!.FrameBuffer,
            DebugExit = parsed.GetValue(_debugExit),
            TestDevices = parsed.GetValue(_testDevices),
            DirectTimers = parsed.GetValue(_directTimers) || parsed.GetValue(_testDevices),
        };
        return _network.Apply(LeftOutDevices.Apply(options, parsed.GetValue(_without)!), parsed);
    }

    private void CheckLockstep(ParseResult parsed)
    {
        if (parsed.GetValue(_engine) != "lockstep")
        {
            return;
        }

        if (parsed.GetValue(_processors) != 1)
        {
            throw new VmConfigurationException("--engine lockstep follows one processor; use --processors 1");
        }

        // What the hypervisor and VSPs write into shared pages at any time cannot be repeated for the second engine.
        if (parsed.GetValue(_integration) == "on")
        {
            throw new VmConfigurationException("--engine lockstep cannot follow what synthetic devices write; use --integration off");
        }

        if (!VirtualMachine.HasTranslator)
        {
            throw new VmConfigurationException("--engine lockstep needs an x86-64 host with SSE4.2 and AES");
        }
    }

    private static Option<string> OneOf(string name, string description, params string[] values)
    {
        var option = new Option<string>(name)
        {
            Description = description,
            HelpName = string.Join('|', values),
            DefaultValueFactory = _ => values[0],
            CustomParser = result =>
            {
                string text = result.Tokens[0].Value;
                if (!values.Contains(text, StringComparer.Ordinal))
                {
                    result.AddError($"{name} {text}: must be {string.Join(" or ", values)}");
                }

                return text;
            },
        };
        option.CompletionSources.Add(values);
        return option;
    }

    private static DiskOptions ParseDisk(string text)
    {
        string[] parts = text.Split(',');
        var disk = new DiskOptions(parts[0], DiskController.Ide, ReadOnly: false);
        foreach (string part in parts.Skip(1))
        {
            disk = part switch
            {
                "controller=ide" => disk with { Controller = DiskController.Ide },
                "controller=scsi" => disk with { Controller = DiskController.Scsi },
                "controller=nvme" => disk with { Controller = DiskController.Nvme },
                "readonly" => disk with { ReadOnly = true },
                _ => throw new VmConfigurationException($"--disk {text}: '{part}' is not controller=scsi, controller=ide, controller=nvme or readonly"),
            };
        }

        return disk;
    }

    private static (ulong Bytes, ulong Maximum) ParseMemory(ArgumentResult result)
    {
        const string Max = "max=";
        string text = result.Tokens[0].Value;
        string[] parts = text.Split(',');
        ulong maximum = 0;
        if (!Quantity.TryParseBytes(parts[0], out ulong bytes))
        {
            result.AddError($"--memory {text}: not a size such as 512M");
        }
        else if (parts.Length > 2 || (parts.Length == 2
            && !(parts[1].StartsWith(Max, StringComparison.Ordinal) && Quantity.TryParseBytes(parts[1][Max.Length..], out maximum))))
        {
            result.AddError($"--memory {text}: '{parts[^1]}' is not max=SIZE");
        }
        else if (bytes is < VmLimits.MinimumMemoryBytes or > VmLimits.MaximumMemoryBytes || bytes % 4096 != 0 || maximum > VmLimits.MaximumMemoryBytes)
        {
            result.AddError($"--memory {text}: must be {VmLimits.MinimumMemoryBytes >> 20}M to {VmLimits.MaximumMemoryBytes >> 30}G in whole pages");
        }
        else if (maximum != 0 && (maximum < bytes || bytes % VmLimits.MemoryBlockBytes != 0 || maximum % VmLimits.MemoryBlockBytes != 0))
        {
            result.AddError($"--memory {text}: memory that can grow starts and ends at multiples of {VmLimits.MemoryBlockBytes >> 20}M");
        }

        return (bytes, maximum);
    }

    private static int ParseCodeCache(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!Quantity.TryParseBytes(text, out ulong bytes))
        {
            result.AddError($"--code-cache {text}: not a size such as 64M");
        }
        else if (bytes is < VmLimits.MinimumCodeCacheBytes or > VmLimits.MaximumCodeCacheBytes)
        {
            result.AddError(
                $"--code-cache {text}: must be {VmLimits.MinimumCodeCacheBytes >> 20}M to {VmLimits.MaximumCodeCacheBytes >> 30}G");
        }

        return (int)Math.Min(bytes, VmLimits.MaximumCodeCacheBytes);
    }

    private static int ParseProcessors(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!int.TryParse(text, out int count) || count is < 1 or > VmLimits.MaximumProcessors)
        {
            result.AddError($"--processors {text}: must be 1 to {VmLimits.MaximumProcessors}");
        }

        return count;
    }

    private static TimeSpan? ParseTimeout(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!Quantity.TryParseDuration(text, out TimeSpan duration))
        {
            result.AddError($"--timeout {text}: not a time such as 120s");
        }

        return duration;
    }
}

// A Debian kernel with an initramfs of busybox and the kernel package's own modules. Which modules its init loads is what
// "integration components installed" means for this guest.
using System.Text;

namespace Sharpvisor.Cli.Guests;

/// <summary>Debian's kernel flavours.</summary>
internal enum KernelFlavour
{
    Cloud,
    Generic,
    /// <summary>Debian 13's, whatever the host's release is.</summary>
    TrixieCloud,
    TrixieGeneric,
}

internal sealed class LinuxGuest
{
    // Drivers of both worlds; init loads the synthetic ones first, as a distribution's initramfs does by modalias.
    private static readonly string[] s_modules =
    [
        "hv_vmbus", "hv_storvsc", "hv_utils", "hv_balloon", "hv_sock", "ata_piix", "ata_generic", "sd_mod", "sr_mod", "sg", "ext4", "btrfs", "isofs", "loop",
    ];

    // bookworm's packages use /lib, later ones /usr/lib.
    private static readonly string[] s_moduleRoots = ["usr/lib/modules", "lib/modules"];

    private readonly byte[] _busybox;
    private readonly KernelModules _modules;

    private LinuxGuest(string kernel, KernelModules modules, byte[] busybox)
    {
        KernelPath = kernel;
        _modules = modules;
        _busybox = busybox;
    }

    /// <summary>The unmodified bzImage.</summary>
    public string KernelPath { get; }

    public string KernelVersion => _modules.Version;

    public static LinuxGuest Prepare(DebianPackages packages, KernelFlavour flavour)
    {
        string meta = flavour is KernelFlavour.Cloud or KernelFlavour.TrixieCloud ? "linux-image-cloud-amd64" : "linux-image-amd64";
        DebianPackages kernels = flavour is KernelFlavour.TrixieCloud or KernelFlavour.TrixieGeneric ? packages.Of("trixie") : packages;
        string kernel = kernels.Unpack(kernels.Resolve(meta, "linux-image-"));
        string modules = s_moduleRoots
            .Select(p => Path.Combine(kernel, p)).Where(Directory.Exists).SelectMany(Directory.EnumerateDirectories).Single();
        return new LinuxGuest(
            Directory.EnumerateFiles(Path.Combine(kernel, "boot"), "vmlinuz-*").Single(),
            new KernelModules(modules),
            GuestPrograms.ReadBusybox(packages));
    }

    /// <summary>An initramfs whose init mounts the usual file systems and then runs <paramref name="script"/> (busybox sh).</summary>
    /// <param name="script">Ends the VM itself, for example with <c>poweroff -f</c>; if it does not, init powers off.</param>
    /// <param name="customize">Adds files, for example test programs.</param>
    /// <param name="modules">The modules it has, with all that they need; null: every driver of both worlds.</param>
    public byte[] BuildInitramfs(string script, Action<CpioArchive>? customize = null, IReadOnlyList<string>? modules = null)
    {
        var archive = new CpioArchive();
        foreach (string directory in (string[])["bin", "dev", "proc", "sys", "tmp", "mnt", "run"])
        {
            archive.AddDirectory(directory);
        }

        archive.AddCharacterDevice("dev/console", 5, 1);
        archive.AddProgram("bin/busybox", _busybox);
        archive.AddSymbolicLink("bin/sh", "busybox");
        // What orderly_poweroff and orderly_reboot start (kernel/reboot.c): hv_utils calls them when the host asks for a shutdown.
        archive.AddScript("sbin/poweroff", "#!/bin/sh\n/bin/busybox poweroff -f\n");
        archive.AddScript("sbin/reboot", "#!/bin/sh\n/bin/busybox reboot -f\n");
        AddModules(archive, modules ?? s_modules);
        archive.AddScript("init", Init);
        archive.AddScript("script", "#!/bin/sh\n" + script + "\n");
        customize?.Invoke(archive);
        return archive.ToArray();
    }

    private const string Init = """
        #!/bin/sh
        /bin/busybox --install -s /bin
        mount -t proc proc /proc
        mount -t sysfs sysfs /sys
        mount -t devtmpfs devtmpfs /dev
        export PATH=/bin HOME=/ TERM=linux
        . /script
        poweroff -f

        """;

    private void AddModules(CpioArchive archive, IReadOnlyList<string> names)
    {
        string root = $"lib/modules/{_modules.Version}/";
        var dependencies = new StringBuilder();
        foreach (string name in _modules.Closure(names))
        {
            archive.AddFile(root + _modules.RelativePath(name), _modules.Read(name));
            // modules.dep lists the whole closure, nearest dependency first.
            IEnumerable<string> needs = _modules.Closure([name]).Where(n => n != name).Reverse().Select(_modules.RelativePath);
            dependencies.Append(_modules.RelativePath(name)).Append(": ").AppendJoin(' ', needs).Append('\n');
        }

        archive.AddFile(root + "modules.dep", Encoding.ASCII.GetBytes(dependencies.ToString()));
    }
}

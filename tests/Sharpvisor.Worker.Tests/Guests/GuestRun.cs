// Boots Debian's kernel in this process with a test's own init script, and keeps what it printed.
using Sharpvisor.Cli.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

/// <summary>One boot and its outcome.</summary>
internal sealed record GuestRun(string Console, VmResult? Result, IReadOnlyDictionary<string, long> Statistics)
{
    private static readonly Lazy<LinuxGuest> s_cloud = new(() => Prepare(KernelFlavour.Cloud));
    private static readonly Lazy<LinuxGuest> s_generic = new(() => Prepare(KernelFlavour.Generic));
    private static readonly Lazy<LinuxGuest> s_trixieCloud = new(() => Prepare(KernelFlavour.TrixieCloud));
    private static readonly Lazy<LinuxGuest> s_trixieGeneric = new(() => Prepare(KernelFlavour.TrixieGeneric));

    public static LinuxGuest Guest(KernelFlavour flavour) => (flavour switch
    {
        KernelFlavour.Cloud => s_cloud,
        KernelFlavour.TrixieCloud => s_trixieCloud,
        KernelFlavour.TrixieGeneric => s_trixieGeneric,
        _ => s_generic,
    }).Value;

    public static DebianPackages Packages { get; } = new(DebianPackages.DefaultCacheDirectory, _ => { });

    /// <summary>Boots until the guest ends or the time is up (Result is then null).</summary>
    /// <param name="script">What init runs; busybox's sh.</param>
    public static async Task<GuestRun> BootAsync(
        KernelFlavour flavour,
        string script,
        Func<VmOptions, VmOptions>? configure = null,
        Action<CpioArchive>? customize = null,
        int timeoutSeconds = 300,
        Action<VirtualMachine>? started = null,
        IReadOnlyList<string>? modules = null)
    {
        LinuxGuest guest = Guest(flavour);
        using var console = new MemoryStream();
        var options = new VmOptions
        {
            KernelPath = guest.KernelPath,
            ExtraInitrd = guest.BuildInitramfs(script, customize, modules),
            CommandLine = "console=ttyS0 panic=-1",
            SerialOutput = Stream.Synchronized(console),
        };
        using VirtualMachine vm = VirtualMachine.Create(configure?.Invoke(options) ?? options);
        vm.Start();
        started?.Invoke(vm);
        VmResult? result = null;
        try
        {
            result = await vm.Completion.WaitAsync(TimeSpan.FromSeconds(timeoutSeconds), TestContext.Current.CancellationToken);
        }
        catch (TimeoutException)
        {
            vm.Stop();
            await vm.Completion;
        }

        return new GuestRun(System.Text.Encoding.UTF8.GetString(console.ToArray()), result, vm.Statistics.Snapshot());
    }

    /// <summary>Asserts that the guest powered off by itself; a failure shows the end of its console.</summary>
    public GuestRun AssertPoweredOff()
    {
        Assert.True(Result?.Kind == VmExitKind.PowerOff, $"ended with {Result?.ToString() ?? "a timeout"}; console:\n{Tail()}");
        return this;
    }

    public GuestRun AssertPrinted(string text)
    {
        Assert.True(Console.Contains(text, StringComparison.Ordinal), $"'{text}' is missing; console:\n{Tail()}");
        return this;
    }

    public GuestRun AssertNotPrinted(string text)
    {
        Assert.False(Console.Contains(text, StringComparison.Ordinal), $"'{text}' was printed; console:\n{Tail()}");
        return this;
    }

    private string Tail() => Console.Length > 6000 ? Console[^6000..] : Console;

    private static LinuxGuest Prepare(KernelFlavour flavour) => LinuxGuest.Prepare(Packages, flavour);
}

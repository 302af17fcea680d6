using Sharpvisor.Cli.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class BootTests
{
    private const string Report = """
        echo "clocksource: $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
        modprobe hv_vmbus
        echo "processors: $(nproc)"
        dmesg | grep -i -e hyper -e vmbus -e x86.PAT
        """;

    private const string Work = "dd if=/dev/urandom of=/tmp/a bs=64k count=16 2>/dev/null; gzip -c /tmp/a | gunzip -c | cmp - /tmp/a && echo same; "
        + "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; echo counted $i; head -c 1000000 /dev/zero | sha256sum";

    [Theory]
    [InlineData("Cloud", 1)]
    [InlineData("Cloud", 2)]
    [InlineData("Cloud", 4)]
    [InlineData("Generic", 1)]
    [InlineData("Generic", 2)]
    [InlineData("Generic", 4)]
    public async Task Debian_kernel_boots_as_a_Hyper_V_guest_and_powers_off(string flavour, int processors)
    {
        GuestRun run = await GuestRun.BootAsync(Enum.Parse<KernelFlavour>(flavour), Report + "\n" + Work, o => o with { Processors = processors });

        run.AssertPoweredOff()
            .AssertPrinted("same")
            .AssertPrinted("counted 2000")
            .AssertPrinted("d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025")
            .AssertPrinted("Hypervisor detected: Microsoft Hyper-V")
            .AssertPrinted("clocksource: hyperv_clocksource_tsc_page")
            .AssertPrinted($"processors: {processors}")
            .AssertPrinted("x86/PAT: Configuration")
            .AssertPrinted("hv_vmbus: Vmbus version:5.");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Debian_kernel_boots_on_the_interpreter(int processors)
    {
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud, Report + "\n" + Work, o => o with { Processors = processors, Engine = EngineKind.Interpreter });

        run.AssertPoweredOff()
            .AssertPrinted($"processors: {processors}")
            .AssertPrinted("hv_vmbus: Vmbus version:5.")
            .AssertPrinted("same")
            .AssertPrinted("counted 2000")
            .AssertPrinted("d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025");
    }

    [Fact]
    public async Task Debian_13s_kernel_finds_all_its_integration_components()
    {
        const string Drivers = "for m in hv_vmbus hv_utils hv_storvsc hv_balloon; do modprobe $m || echo no $m; done; "
            + "until [ $(cat /sys/bus/vmbus/devices/*/state | grep -c 3) -ge 5 ]; do sleep 0.2; done; "
            + "for d in /sys/bus/vmbus/devices/*/driver; do echo bound $(basename $(readlink $d)); done";

        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.TrixieCloud, Report + "\n" + Drivers, o => o with { Processors = 2, Engine = EngineKind.Software });

        run.AssertPoweredOff()
            .AssertPrinted("Linux version 6.12.")
            .AssertPrinted("clocksource: hyperv_clocksource_tsc_page")
            .AssertPrinted("processors: 2")
            .AssertPrinted("hv_vmbus: Vmbus version:5.")
            .AssertPrinted("bound hv_utils")
            .AssertPrinted("bound hv_balloon")
            .AssertNotPrinted("no hv_")
            .AssertNotPrinted("Call Trace");
    }

    [Theory]
    [InlineData("Cloud")]
    [InlineData("Generic")]
    public async Task Without_integration_the_same_image_boots_with_no_trace_of_Hyper_V(string flavour)
    {
        GuestRun run = await GuestRun.BootAsync(
            Enum.Parse<KernelFlavour>(flavour),
            "echo hypervisor: $(cat /sys/hypervisor/type); grep -c hypervisor /proc/cpuinfo; dmesg > /tmp/log; grep -v 'Command line' /tmp/log | grep -i -e hyper-v -e hyperv -e vmbus -e microsoft && echo TRACE; ls /sys/bus",
            o => o with { Integration = false, Processors = 2 });

        run.AssertPoweredOff().AssertNotPrinted("TRACE").AssertNotPrinted("Hypervisor detected");
    }

    [Fact]
    public async Task Translator_and_interpreter_agree_while_a_kernel_starts()
    {
        const string Reached = "console [ttyS0] enabled";
        using var console = new ConsoleTap(Stream.Null);
        var options = new VmOptions
        {
            KernelPath = GuestRun.Guest(KernelFlavour.Cloud).KernelPath,
            CommandLine = "console=ttyS0 panic=-1",
            Integration = false,
            Engine = EngineKind.Lockstep,
            SerialOutput = console,
        };
        using VirtualMachine vm = VirtualMachine.Create(options);
        vm.Start();
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        enough.CancelAfter(TimeSpan.FromSeconds(300));
        while (!console.Text.Contains(Reached, StringComparison.Ordinal) && !vm.Completion.IsCompleted)
        {
            await Task.Delay(20, enough.Token);
        }

        Assert.True(console.Text.Contains(Reached, StringComparison.Ordinal), vm.Completion.IsCompleted ? (await vm.Completion).Message : console.Text);
    }
}

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

    [Theory]
    [InlineData("Cloud", 1)]
    [InlineData("Cloud", 2)]
    [InlineData("Cloud", 4)]
    [InlineData("Generic", 1)]
    [InlineData("Generic", 2)]
    [InlineData("Generic", 4)]
    public async Task Debian_kernel_boots_as_a_Hyper_V_guest_and_powers_off(string flavour, int processors)
    {
        GuestRun run = await GuestRun.BootAsync(Enum.Parse<KernelFlavour>(flavour), Report, o => o with { Processors = processors });

        run.AssertPoweredOff()
            .AssertPrinted("Hypervisor detected: Microsoft Hyper-V")
            .AssertPrinted("clocksource: hyperv_clocksource_tsc_page")
            .AssertPrinted($"processors: {processors}")
            .AssertPrinted("x86/PAT: Configuration")
            .AssertPrinted("hv_vmbus: Vmbus version:5.");
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
}

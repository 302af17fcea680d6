// Keys and mouse as Debian's drivers and a program in the guest see them: synthetic, and emulated without integration.
using System.Net.Sockets;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Core;
using Sharpvisor.Display.Keys;
using Sharpvisor.Display.Tests;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class InputTests
{
    private const string Listen = """

        grep -h -e ^N: -e ^H: /proc/bus/input/devices
        events /dev/input/event*
        """;

    private static readonly string[] s_synthetic = ["hv_vmbus", "hyperv_keyboard", "hid_hyperv", "evdev"];
    private static readonly string[] s_emulated = ["psmouse", "evdev"];

    [Theory]
    [InlineData("Generic")]
    [InlineData("TrixieGeneric")]
    public async Task Debian_s_synthetic_drivers_are_loaded_ten_times_and_report_keys_and_absolute_positions(string flavour)
    {
        const string Load = """
            modprobe evdev; modprobe hv_vmbus
            for i in 1 2 3 4 5 6 7 8 9 10; do
                modprobe hyperv_keyboard; modprobe hid_hyperv
                until grep -q 'Vmbus HID' /proc/bus/input/devices && [ $(grep -c 'AT Translated' /proc/bus/input/devices) = 2 ]; do usleep 20000; done
                [ $i = 10 ] || { rmmod hyperv_keyboard; rmmod hid_hyperv; }
            done
            echo "loaded $i times"
            """;
        GuestRun run = await BootAsync(Enum.Parse<KernelFlavour>(flavour), Load + Listen, s_synthetic, o => o, DriveAsync);

        run.AssertPoweredOff()
            .AssertPrinted("loaded 10 times")
            .AssertPrinted("Microsoft Vmbus HID-compliant Mouse")
            .AssertNotPrinted("Illegal")
            .AssertNotPrinted("WARNING");

        static async Task DriveAsync(VirtualMachine vm, ConsoleTap console)
        {
            await SendAsync(vm, "a", "Up", "shift-delete");
            await console.WaitForAsync("EV 1 30 1");
            await console.WaitForAsync("EV 1 103 1");
            await console.WaitForAsync("EV 1 111 0");

            string socket = Path.Combine(Path.GetTempPath(), $"sharpvisor-test-{Guid.NewGuid():N}");
            using VncListener listener = VncListener.Bind("unix:" + socket);
            listener.Start(vm);
            using RfbClient client = RfbClient.Connect(new UnixDomainSocketEndPoint(socket));
            client.Press('z');
            await console.WaitForAsync("EV 1 44 0");
            // The middle, with the left button; then the right bottom corner, with a turn of the wheel towards the user.
            client.Pointer(1, client.Width / 2, client.Height / 2);
            await console.WaitForAsync($"EV 3 0 {client.Width / 2 * 0x7FFF / (client.Width - 1)}");
            await console.WaitForAsync("EV 1 272 1");
            client.Pointer(0x10, client.Width - 1, client.Height - 1);
            await console.WaitForAsync("EV 3 0 32767");
            await console.WaitForAsync("EV 3 1 32767");
            await console.WaitForAsync("EV 1 272 0");
            await console.WaitForAsync("EV 2 8 -1");
        }
    }

    [Fact]
    public async Task Without_integration_the_same_keys_and_movements_come_through_the_8042()
    {
        const string Load = """
            modprobe evdev; modprobe psmouse
            until grep -q -i 'PS/2.*Mouse\|Explorer Mouse' /proc/bus/input/devices; do usleep 20000; done
            """;
        GuestRun run = await BootAsync(KernelFlavour.Generic, Load + Listen, s_emulated, o => o with { Integration = false }, DriveAsync);

        run.AssertPoweredOff().AssertPrinted("AT Translated Set 2 keyboard").AssertPrinted("ImExPS/2 Generic Explorer Mouse");

        static async Task DriveAsync(VirtualMachine vm, ConsoleTap console)
        {
            await SendAsync(vm, "a", "up");
            await console.WaitForAsync("EV 1 30 1");
            await console.WaitForAsync("EV 1 103 0");
            vm.Console.Pointer.Report(new PointerState(0, 0, PointerButtons.None, 0));
            int before = console.Printed;
            vm.Console.Pointer.Report(new PointerState(320, 0, PointerButtons.Right, 1));
            await console.WaitForAsync("EV 2 0 10", before);
            await console.WaitForAsync("EV 1 273 1", before);
            await console.WaitForAsync("EV 2 8 1", before);
        }
    }

    [Fact]
    public async Task A_keyboard_that_is_left_out_is_not_offered()
    {
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            "modprobe hv_vmbus; until grep cfa8 /sys/bus/vmbus/devices/*/class_id; do usleep 20000; done; cat /sys/bus/vmbus/devices/*/class_id",
            o => o with { Engine = EngineKind.Software, Console = ConsoleDevices.Mouse },
            modules: ["hv_vmbus"]);

        run.AssertPoweredOff().AssertPrinted("cfa8b69e-5b4a-4cc0-b98b-8ba1a1f3f95a").AssertNotPrinted("f912ad6d-2b17-48ea-bd65-f927a61c7684");
    }

    private static Task SendAsync(VirtualMachine vm, params string[] keys) =>
        KeySequence.SendAsync(vm.Console.Keyboard, KeySequence.Parse(keys), TestContext.Current.CancellationToken);

    private static async Task<GuestRun> BootAsync(
        KernelFlavour flavour, string script, string[] modules, Func<VmOptions, VmOptions> configure, Func<VirtualMachine, ConsoleTap, Task> drive)
    {
        ConsoleTap? console = null;
        Task driven = Task.CompletedTask;
        GuestRun run = await GuestRun.BootAsync(
            flavour,
            script,
            o => configure(o) with { Engine = EngineKind.Software, SerialOutput = console = new ConsoleTap(o.SerialOutput) },
            a => a.AddProgram("bin/events", GuestPrograms.Compile(GuestRun.Packages, "events")),
            started: vm => driven = RunAsync(vm),
            modules: modules);
        await driven;
        return run;

        async Task RunAsync(VirtualMachine vm)
        {
            try
            {
                await console!.WaitForAsync("LISTENING");
                await drive(vm, console);
                await SendAsync(vm, "q");
            }
            catch
            {
                vm.Stop();
                throw;
            }
        }
    }
}

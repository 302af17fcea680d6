// What a guest draws is what a screenshot and a VNC viewer show, pixel by pixel.
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Core;
using Sharpvisor.Display.Tests;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class VideoTests : IDisposable
{
    private const int Width = 1024;
    private const int Height = 768;

    // The pattern covers the whole frame buffer; the console must not draw a cursor into it.
    private const string NoCursor = " vt.global_cursor_default=0";

    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;
    private readonly byte[] _pattern = CreatePattern();

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData("Generic")]
    [InlineData("TrixieGeneric")]
    public Task Hyperv_drm_is_loaded_ten_times_and_shows_what_the_guest_draws(string flavour) => DrawAsync(
        Enum.Parse<KernelFlavour>(flavour),
        """
        modprobe hv_vmbus
        for i in 1 2 3 4 5 6 7 8 9 10; do
            modprobe hyperv_drm
            until [ -e /dev/fb0 ]; do usleep 20000; done
            [ $i = 10 ] && break
            for c in /sys/class/vtconsole/*; do grep -q 'frame buffer' $c/name && echo 0 > $c/bind; done
            until rmmod hyperv_drm; do usleep 50000; done
        done
        cat /sys/class/graphics/fb0/name
        """,
        ["hv_vmbus", "hyperv_drm"],
        "hyperv_drmdrmfb",
        o => o);

    [Fact]
    public Task Hyperv_fb_is_loaded_ten_times_and_shows_what_the_guest_draws() => DrawAsync(
        KernelFlavour.Cloud,
        """
        modprobe hv_vmbus
        for i in 1 2 3 4 5 6 7 8 9 10; do
            modprobe hyperv_fb
            until [ -e /dev/fb0 ]; do usleep 20000; done
            [ $i = 10 ] && break
            for c in /sys/class/vtconsole/*; do grep -q 'frame buffer' $c/name && echo 0 > $c/bind; done
            until rmmod hyperv_fb; do usleep 50000; done
        done
        cat /sys/class/graphics/fb0/name
        """,
        ["hv_vmbus", "hyperv_fb"],
        "hyperv_fb",
        o => o);

    [Fact]
    public Task Without_integration_vesafb_shows_what_the_guest_draws() => DrawAsync(
        KernelFlavour.Generic,
        "cat /sys/class/graphics/fb0/name",
        [],
        "VESA VGA",
        o => o with { Integration = false, FrameBuffer = (Width, Height) });

    [Fact]
    public async Task Without_drivers_the_text_console_can_be_read_on_the_screen()
    {
        ConsoleTap? console = null;
        Task<string> seen = Task.FromResult("");
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            "echo 'The quick brown fox 0123456789' > /dev/tty1; echo DRAWN; while :; do sleep 1; done",
            o => o with
            {
                Integration = false,
                Engine = EngineKind.Software,
                CommandLine = "console=tty0 " + o.CommandLine,
                SerialOutput = console = new ConsoleTap(o.SerialOutput),
            },
            started: vm => seen = ReadAsync(vm),
            modules: []);
        string text = await seen;
        Assert.Contains("The quick brown fox 0123456789", text, StringComparison.Ordinal);
        Assert.Contains("Run /init as init process", text, StringComparison.Ordinal);
        run.AssertPrinted("Console: colour VGA+ 80x25");

        async Task<string> ReadAsync(VirtualMachine vm)
        {
            try
            {
                await console!.WaitForAsync("DRAWN");
                var image = new ScreenImage();
                Assert.True(vm.Console.Screen.TryCapture(image));
                return ScreenText.Read(image);
            }
            finally
            {
                vm.Stop();
            }
        }
    }

    private async Task DrawAsync(
        KernelFlavour flavour, string load, string[] modules, string frameBuffer, Func<VmOptions, VmOptions> configure)
    {
        ConsoleTap? console = null;
        Task driven = Task.CompletedTask;
        GuestRun run = await GuestRun.BootAsync(
            flavour,
            load + "\nfbdraw /pattern /dev/fb0",
            o => configure(o) with
            {
                Engine = EngineKind.Software,
                CommandLine = o.CommandLine + NoCursor,
                SerialOutput = console = new ConsoleTap(o.SerialOutput),
            },
            a =>
            {
                a.AddFile("pattern", _pattern);
                a.AddProgram("bin/fbdraw", GuestPrograms.Compile(GuestRun.Packages, "fbdraw"));
            },
            started: vm => driven = CompareAsync(vm, console!),
            modules: modules);
        await driven;
        run.AssertPrinted(frameBuffer).AssertNotPrinted("WARNING").AssertNotPrinted("Unable to find").AssertNotPrinted("Unable to set");
    }

    private async Task CompareAsync(VirtualMachine vm, ConsoleTap console)
    {
        try
        {
            await console.WaitForAsync("DRAWN");
            uint[] expected = MemoryMarshal.Cast<byte, uint>(_pattern).ToArray();
            var image = new ScreenImage();
            // The driver copies its shadow to video memory a little later.
            Assert.True(SpinWait.SpinUntil(
                () => vm.Console.Screen.TryCapture(image) && image.Pixels.SequenceEqual(expected), TimeSpan.FromSeconds(30)));
            Assert.Equal((Width, Height), (image.Width, image.Height));

            string socket = Path.Combine(_directory, "vnc");
            using VncListener listener = VncListener.Bind("unix:" + socket);
            listener.Start(vm);
            using RfbClient client = RfbClient.Connect(new UnixDomainSocketEndPoint(socket));
            client.SetEncodings(16, -223);
            client.Request(incremental: false);
            client.ReceiveUpdate();
            Assert.True(client.Pixels.AsSpan().SequenceEqual(expected));
        }
        finally
        {
            vm.Stop();
        }
    }

    private static byte[] CreatePattern()
    {
        byte[] pattern = new byte[Width * Height * 4];
        for (int i = 0; i < Width * Height; i++)
        {
            uint pixel = (uint)((i % Width) & 0xFF) | ((uint)((i / Width) & 0xFF) << 8) | (((uint)i * 2654435761u) & 0xFF_0000);
            BitConverter.TryWriteBytes(pattern.AsSpan(4 * i), pixel);
        }

        return pattern;
    }
}

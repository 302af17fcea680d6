// run --vnc, ctl screenshot and ctl send-keys, as a user has them.
using System.Buffers.Binary;
using System.Diagnostics;
using System.Net.Sockets;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Display.Tests;
using Sharpvisor.Worker.Tests.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.CommandLine;

public sealed class ScreenTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_user_types_by_ctl_and_by_VNC_and_takes_a_screenshot()
    {
        string control = Path.Combine(_directory, "ctl");
        string viewer = Path.Combine(_directory, "vnc");
        string initrd = Path.Combine(_directory, "initrd");
        string picture = Path.Combine(_directory, "screen.png");
        string password = Path.Combine(_directory, "password");
        LinuxGuest guest = GuestRun.Guest(KernelFlavour.Cloud);
        await File.WriteAllTextAsync(password, "secret\n", TestContext.Current.CancellationToken);
        await File.WriteAllBytesAsync(
            initrd,
            guest.BuildInitramfs("""
                modprobe hv_vmbus; modprobe hyperv_keyboard
                until [ $(grep -c AT.Translated /proc/bus/input/devices) = 2 ]; do usleep 20000; done
                echo READY; read a < /dev/tty1; echo "FIRST $a"; read b < /dev/tty1; echo "SECOND $b"
                """, modules: ["hv_vmbus", "hyperv_keyboard"]),
            TestContext.Current.CancellationToken);
        using Process process = CommandLineRun.Start(
            "run", "--kernel", guest.KernelPath, "--initrd", initrd, "--append", "console=tty0 console=ttyS0", "--timeout", "250s",
            "--engine", "software", "--ctl", control, "--vnc", $"unix:{viewer},password-file={password}");
        process.StandardInput.Close();
        await WaitForAsync(process, "READY");

        CommandLineRun keys = await CommandLineRun.ToEndAsync("ctl", control, "send-keys", "Hello, World!", "enter");
        Assert.True(keys.ExitStatus == 0, keys.Output + keys.Errors);
        Assert.EndsWith("FIRST Hello, World!", await WaitForAsync(process, "FIRST"), StringComparison.Ordinal);
        CommandLineRun shot = await CommandLineRun.ToEndAsync("ctl", control, "screenshot", picture);
        Assert.Contains("\"width\":640,\"height\":400", shot.Output, StringComparison.Ordinal);
        byte[] png = await File.ReadAllBytesAsync(picture, TestContext.Current.CancellationToken);
        Assert.Equal((640, 400), (BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(16)), BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(20))));

        using (RfbClient client = RfbClient.Connect(new UnixDomainSocketEndPoint(viewer), "secret"))
        {
            client.Request(incremental: false);
            client.ReceiveUpdate();
            Assert.Equal((640, 400), (client.Width, client.Height));
            Assert.Contains(0xAA_AAAAu, client.Pixels);
            foreach (char c in "vnc-2?")
            {
                client.Press(c);
            }

            client.Press(0xFF0D);
            Assert.EndsWith("SECOND vnc-2?", await WaitForAsync(process, "SECOND"), StringComparison.Ordinal);
        }

        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, process.ExitCode);
        Assert.False(File.Exists(viewer));
    }

    private static async Task<string> WaitForAsync(Process process, string text)
    {
        while (await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken) is { } line)
        {
            if (line.Contains(text, StringComparison.Ordinal))
            {
                return line.Trim();
            }
        }

        throw new InvalidOperationException($"the guest ended without {text}: {await process.StandardError.ReadToEndAsync()}");
    }
}

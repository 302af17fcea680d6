// `run --ctl` and `ctl`, as a user runs them, against Debian's kernel with its hv_utils.
using System.Diagnostics;
using System.Text.Json.Nodes;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Worker.Tests.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.CommandLine;

public sealed class ControlTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;

    private string Socket => Path.Combine(_directory, "ctl");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_running_VM_is_asked_paused_given_a_disk_and_shut_down()
    {
        string initrd = Path.Combine(_directory, "initrd");
        string disk = Path.Combine(_directory, "disk.img");
        LinuxGuest guest = GuestRun.Guest(KernelFlavour.Cloud);
        await File.WriteAllBytesAsync(disk, new byte[4 << 20], TestContext.Current.CancellationToken);
        await File.WriteAllBytesAsync(
            initrd,
            guest.BuildInitramfs("""
                modprobe hv_vmbus; modprobe hv_storvsc; modprobe sd_mod; modprobe hv_utils; echo READY
                until [ -b /dev/sda ]; do usleep 100000; done; echo "ADDED"
                while [ -b /dev/sda ]; do usleep 100000; done; echo "REMOVED"
                while :; do sleep 1; done
                """),
            TestContext.Current.CancellationToken);
        using Process process = CommandLineRun.Start(
            "run", "--kernel", guest.KernelPath, "--initrd", initrd, "--append", "console=ttyS0", "--timeout", "200s", "--ctl", Socket);
        process.StandardInput.Close();
        await WaitForAsync(process, "READY");

        await UntilAsync("running", async () => (string?)(await CtlAsync("status"))["services"]?["shutdown"]?["state"]);
        await UntilAsync("healthy", async () => (string?)(await CtlAsync("status"))["heartbeat"]);
        await CtlAsync("pause");
        Assert.Equal("paused", (string?)(await CtlAsync("status"))["state"]);
        Assert.Contains("paused", (string?)(await CtlAsync(1, "shutdown"))["error"], StringComparison.Ordinal);
        await CtlAsync("resume");
        Assert.Equal(0, (int?)(await CtlAsync("disk", "add", disk + ",readonly"))["lun"]);
        await WaitForAsync(process, "ADDED");
        Assert.Equal(disk, (string?)(await CtlAsync("status"))["disks"]?[0]?["file"]);
        await CtlAsync("disk", "remove", "0");
        await WaitForAsync(process, "REMOVED");
        Assert.Contains("daemon", (string?)(await CtlAsync(1, "kvp", "set", "a", "b"))["error"], StringComparison.Ordinal);
        await CtlAsync("shutdown");
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, process.ExitCode);
        Assert.False(File.Exists(Socket));
    }

    [Fact]
    public async Task A_socket_that_nobody_listens_on_is_named()
    {
        CommandLineRun run = await CommandLineRun.ToEndAsync("ctl", Socket, "status");
        Assert.Equal(2, run.ExitStatus);
        Assert.Contains(Socket, Assert.Single(run.Errors.Trim().Split('\n')), StringComparison.Ordinal);
    }

    private static async Task WaitForAsync(Process process, string text)
    {
        while (await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken) is { } line)
        {
            if (line.Contains(text, StringComparison.Ordinal))
            {
                return;
            }
        }

        Assert.Fail($"the guest ended without {text}: {await process.StandardError.ReadToEndAsync()}");
    }

    private static async Task UntilAsync(string expected, Func<Task<string?>> read)
    {
        string? last = null;
        for (int i = 0; i < 100 && last != expected; i++)
        {
            last = await read();
            await Task.Delay(100);
        }

        Assert.Equal(expected, last);
    }

    private Task<JsonNode> CtlAsync(params string[] command) => CtlAsync(0, command);

    private async Task<JsonNode> CtlAsync(int status, params string[] command)
    {
        CommandLineRun run = await CommandLineRun.ToEndAsync(["ctl", Socket, .. command]);
        Assert.True(run.ExitStatus == status, $"ctl {string.Join(' ', command)}: {run.ExitStatus}: {run.Output}{run.Errors}");
        return JsonNode.Parse(run.Output)!;
    }
}

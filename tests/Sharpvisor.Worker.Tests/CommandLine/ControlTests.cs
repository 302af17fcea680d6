// `run --ctl` and `ctl`, as a user runs them, against Debian's kernel with its hv_utils.
using System.Diagnostics;
using System.Globalization;
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
                modprobe hv_vmbus; modprobe hv_storvsc; modprobe sd_mod; modprobe hv_utils; modprobe hv_balloon
                dd if=/dev/zero of=/tmp/big bs=1M count=200 2>/dev/null; rm /tmp/big
                echo "READY $(grep MemTotal /proc/meminfo)"
                until [ -b /dev/sda ]; do usleep 100000; done; echo "ADDED"
                while [ -b /dev/sda ]; do usleep 100000; done; echo "REMOVED $(grep MemTotal /proc/meminfo)"
                while :; do sleep 1; done
                """),
            TestContext.Current.CancellationToken);
        using Process process = CommandLineRun.Start(
            "run", "--kernel", guest.KernelPath, "--initrd", initrd, "--append", "console=ttyS0", "--timeout", "200s", "--ctl", Socket);
        process.StandardInput.Close();
        long allMemory = KibibytesIn(await WaitForAsync(process, "READY"));
        long peak = ResidentGuestMegabytes(process);

        await UntilAsync("running", async () => (string?)(await CtlAsync("status"))["services"]?["shutdown"]?["state"]);
        await UntilAsync("healthy", async () => (string?)(await CtlAsync("status"))["heartbeat"]);
        await CtlAsync("pause");
        Assert.Equal("paused", (string?)(await CtlAsync("status"))["state"]);
        Assert.Contains("paused", (string?)(await CtlAsync(1, "shutdown"))["error"], StringComparison.Ordinal);
        await CtlAsync("resume");
        Assert.Equal(0, (int?)(await CtlAsync("disk", "add", disk + ",readonly"))["lun"]);
        await WaitForAsync(process, "ADDED");
        Assert.Equal(disk, (string?)(await CtlAsync("status"))["disks"]?[0]?["file"]);

        // The balloon: the guest has less, and gets it back. Free page reports: the host has the deleted file's memory again.
        Assert.Equal(300L << 20, (long?)(await CtlAsync("memory", "300M"))["memory_bytes"]);
        await CtlAsync("disk", "remove", "0");
        long less = KibibytesIn(await WaitForAsync(process, "REMOVED"));
        Assert.InRange(less, allMemory - (216 << 10), allMemory - (208 << 10));
        Assert.Equal(512L << 20, (long?)(await CtlAsync("memory", "512M"))["memory_bytes"]);
        Assert.Contains("512", (string?)(await CtlAsync(1, "memory", "513M"))["error"], StringComparison.Ordinal);
        await UntilAsync("less", () => Task.FromResult<string?>(ResidentGuestMegabytes(process) < peak - 120 ? "less" : "as much"));
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

    private static long KibibytesIn(string line) => long.Parse(
        line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture);

    // Guest memory is the process's only shared memory.
    private static long ResidentGuestMegabytes(Process process) =>
        KibibytesIn(File.ReadLines($"/proc/{process.Id}/status").First(l => l.StartsWith("RssShmem", StringComparison.Ordinal)).Replace('\t', ' ')) >> 10;

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

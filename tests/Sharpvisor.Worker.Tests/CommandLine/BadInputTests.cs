// What the user got wrong gets one clear line on stderr that names it, and exit status 2.
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Sharpvisor.Cli.Guests;
using Sharpvisor.Worker.Tests.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.CommandLine;

public sealed class BadInputTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;

    private static string Kernel => GuestRun.Guest(KernelFlavour.Cloud).KernelPath;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public Task A_missing_kernel_is_named() => AssertRefusedAsync("nowhere", "run", "--kernel", "/nowhere/vmlinuz");

    [Fact]
    public Task No_kernel_at_all_is_said() => AssertRefusedAsync("--kernel", "run");

    [Fact]
    public async Task A_truncated_kernel_is_named()
    {
        string path = Write("short-kernel", (await File.ReadAllBytesAsync(Kernel, TestContext.Current.CancellationToken))[..100_000]);
        await AssertRefusedAsync(path, "run", "--kernel", path);
    }

    [Fact]
    public async Task A_kernel_that_is_none_is_named()
    {
        string path = Write("text-kernel", new byte[70000]);
        await AssertRefusedAsync(path, "run", "--kernel", path);
    }

    [Fact]
    public Task A_missing_initrd_is_named() => AssertRefusedAsync("/nowhere/initrd", "run", "--kernel", Kernel, "--initrd", "/nowhere/initrd");

    [Fact]
    public async Task An_initrd_that_does_not_fit_is_named()
    {
        string path = Path.Combine(_directory, "huge-initrd");
        using (FileStream file = File.Create(path))
        {
            file.SetLength(200 << 20);
        }

        await AssertRefusedAsync(path, "run", "--kernel", Kernel, "--initrd", path, "--memory", "128M");
    }

    [Theory]
    [InlineData("64Q")]
    [InlineData("512K")]
    [InlineData("2G")]
    public Task A_code_cache_of_no_usable_size_is_refused(string size) =>
        AssertRefusedAsync("--code-cache " + size, "run", "--kernel", Kernel, "--code-cache", size);

    [Fact]
    public Task A_missing_disk_is_named() => AssertRefusedAsync("/nowhere/disk", "run", "--kernel", Kernel, "--disk", "/nowhere/disk");

    [Theory]
    [InlineData("512M,max=256M")]
    [InlineData("500M,max=1G")]
    [InlineData("512M,max=1000M")]
    [InlineData("512M,max=65G")]
    [InlineData("512M,max=much")]
    [InlineData("512M,min=1M")]
    [InlineData("512M,max=1G,max=2G")]
    public Task Memory_that_cannot_grow_so_is_refused(string memory) =>
        AssertRefusedAsync("--memory", "run", "--kernel", Kernel, "--memory", memory);

    [Theory]
    [InlineData("heartbeat,clock")]
    [InlineData("all")]
    [InlineData("1")]
    [InlineData("")]
    public Task A_device_to_leave_out_that_does_not_exist_is_named(string devices) =>
        AssertRefusedAsync("--without", "run", "--kernel", Kernel, "--without", devices);

    [Fact]
    public Task NVMe_disks_without_integration_are_refused() =>
        AssertRefusedAsync(Write("nvme.img", new byte[4096]), "run", "--kernel", Kernel, "--integration", "off", "--disk", Path.Combine(_directory, "nvme.img,controller=nvme"));

    [Fact]
    public Task Hyper_V_sockets_without_integration_are_refused() =>
        AssertRefusedAsync("--vsock", "run", "--kernel", Kernel, "--integration", "off", "--vsock", Path.Combine(_directory, "vsock"));

    [Fact]
    public Task A_socket_in_a_missing_directory_is_named() =>
        AssertRefusedAsync("/nowhere/vsock", "run", "--kernel", Kernel, "--vsock", "/nowhere/vsock");

    [Fact]
    public Task A_socket_with_too_long_a_path_is_named() =>
        AssertRefusedAsync("--vsock", "run", "--kernel", Kernel, "--vsock", "/tmp/" + new string('v', 100));

    [Fact]
    public async Task A_disk_of_odd_size_is_named()
    {
        string path = Write("odd.img", new byte[1000]);
        await AssertRefusedAsync(path, "run", "--kernel", Kernel, "--disk", path);
    }

    [Fact]
    public async Task A_damaged_vhd_is_named()
    {
        byte[] image = new byte[(1 << 20) + 512];
        "conectix"u8.CopyTo(image.AsSpan(1 << 20));
        string path = Write("damaged.vhd", image);
        await AssertRefusedAsync(path, "run", "--kernel", Kernel, "--disk", path);
    }

    [Fact]
    public async Task A_disk_in_use_by_another_vm_is_named()
    {
        string path = Write("shared.img", new byte[1 << 20]);
        using VirtualMachine owner = VirtualMachine.Create(new VmOptions { KernelPath = Kernel, Disks = [new DiskOptions(path, DiskController.Ide, false)] });
        await AssertRefusedAsync(path, "run", "--kernel", Kernel, "--disk", path);
    }

    [Fact]
    public async Task More_IDE_disks_than_the_controller_has_places_are_refused()
    {
        List<string> arguments = ["run", "--kernel", Kernel];
        for (int i = 0; i < 5; i++)
        {
            arguments.Add("--disk");
            arguments.Add(Write($"disk{i.ToString(CultureInfo.InvariantCulture)}.img", new byte[1 << 20]));
        }

        await AssertRefusedAsync("controller=ide", [.. arguments]);
    }

    [Theory]
    [InlineData("--memory", "lots")]
    [InlineData("--memory", "1M")]
    [InlineData("--processors", "0")]
    [InlineData("--processors", "9")]
    [InlineData("--engine", "warp")]
    [InlineData("--engine", "kvm")]
    [InlineData("--integration", "maybe")]
    [InlineData("--timeout", "soon")]
    [InlineData("--generation", "2")]
    [InlineData("--video", "vivid")]
    [InlineData("--video", "4096x4096")]
    [InlineData("--vnc", "0.0.0.0:5900,password-file=/etc/hostname")]
    [InlineData("--vnc", "127.0.0.1:5900")]
    [InlineData("--vnc", "127.0.0.1:5900,password-file=/nowhere/password")]
    [InlineData("--vnc", "unix:/nowhere/socket")]
    [InlineData("--vnc", "unix:/nowhere/socket,colour=blue")]
    [InlineData("--disk", "x,controller=floppy")]
    [InlineData("--stats", "/nowhere/stats.json")]
    [InlineData("--trace", "/nowhere/trace")]
    [InlineData("--net", "bridge")]
    [InlineData("--net", "tap=")]
    [InlineData("--net", "tap=a-name-that-is-too-long")]
    [InlineData("--net", "switch=/nowhere/switch")]
    [InlineData("--nic", "e1000")]
    [InlineData("--nic", "legacy")]
    [InlineData("--mac", "00:15:5d:01:02")]
    [InlineData("--mac", "01:00:5e:00:00:01")]
    [InlineData("--forward", "tcp:22")]
    [InlineData("--forward", "tcp:2222:22")]
    [InlineData("--pcap", "x.pcap")]
    [InlineData("--unknown", "1")]
    public Task A_bad_option_is_named(string option, string value) => AssertRefusedAsync(option, "run", "--kernel", Kernel, option, value);

    [Fact]
    public Task A_synthetic_card_without_integration_is_refused() =>
        AssertRefusedAsync("--net", "run", "--kernel", Kernel, "--net", "user", "--integration", "off", "--nic", "synthetic");

    [Fact]
    public Task Compare_measures_passt_s_network_only() =>
        AssertRefusedAsync("--net switch=/tmp/x", "compare", "--kernel", Kernel, "--net", "switch=/tmp/x");

    [Fact]
    public Task A_capture_that_cannot_be_written_is_named() =>
        AssertRefusedAsync("/nowhere/x.pcap", "run", "--kernel", Kernel, "--net", "user", "--nic", "legacy", "--pcap", "/nowhere/x.pcap");

    [Fact]
    public async Task A_forwarded_port_in_use_is_named()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        await AssertRefusedAsync(
            $"{port}:22", "run", "--kernel", Kernel, "--net", "user", "--nic", "legacy", "--forward", $"tcp:{port}:22");
    }

    [Fact]
    public async Task A_missing_passt_is_said_with_what_to_do()
    {
        // The program itself, for the wrapper needs PATH.
        string program = Path.Combine(Repository.Root, "artifacts/sharpvisor/sharpvisor");
        var start = new ProcessStartInfo(program, ["run", "--kernel", Kernel, "--net", "user", "--nic", "legacy"])
        {
            RedirectStandardError = true,
            Environment = { ["PATH"] = _directory, ["DOTNET_ROOT"] = DotnetRoot() },
        };
        using Process process = Process.Start(start)!;
        string errors = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(2, process.ExitCode);
        Assert.Equal("sharpvisor: passt is not installed: apt install passt", errors.Trim());
    }

    // …/shared/Microsoft.NETCore.App/VERSION/
    private static string DotnetRoot() =>
        Path.GetFullPath(Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "../../.."));

    [Theory]
    [InlineData("--processors", "2", "off")]
    [InlineData("--integration", "1", "on")]
    public Task Lockstep_refuses_what_it_cannot_follow(string named, string processors, string integration) =>
        AssertRefusedAsync(named, "run", "--kernel", Kernel, "--engine", "lockstep", "--processors", processors, "--integration", integration);

    private static async Task AssertRefusedAsync(string named, params string[] arguments)
    {
        CommandLineRun run = await CommandLineRun.ToEndAsync(arguments);

        Assert.Equal(2, run.ExitStatus);
        Assert.Contains(named, run.Errors, StringComparison.Ordinal);
        Assert.Single(run.Errors.TrimEnd('\n').Split('\n'));
        Assert.Empty(run.Output);
    }

    private string Write(string name, byte[] content)
    {
        string path = Path.Combine(_directory, name);
        File.WriteAllBytes(path, content);
        return path;
    }
}

// Hyper-V sockets with Debian's hv_sock: AF_VSOCK in the guest, unix sockets on the host, both ways.
using System.Diagnostics;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Sharpvisor.Cli.Guests;
using Xunit;
using NetSocket = System.Net.Sockets.Socket;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class SocketTests : IDisposable
{
    private const int Connections = 8;
    private const int Bytes = 4 << 20;

    // The module is in use until the last connection's socket has seen the host's end of it.
    private const string Script = """
        modprobe hv_vmbus; modprobe hv_sock
        until ls /sys/bus/vmbus/drivers/hv_sock >/dev/null 2>&1; do usleep 50000; done
        vsock connect 5000 < /bin/busybox | sha256sum
        sha256sum < /bin/busybox
        for i in 1 2 3 4 5 6 7 8; do (echo "word $i" | vsock connect 5000 > /tmp/$i; echo "DONE $(cat /tmp/$i)") & done
        wait
        vsock connect 5001 1 < /dev/null || echo NOBODY
        vsock listen 6000 2
        until modprobe -r hv_sock 2>/dev/null; do usleep 20000; done; modprobe hv_sock
        for i in 1 2 3 4 5 6 7 8 9 10; do modprobe -r hv_sock && modprobe hv_sock || echo BROKEN; done
        echo "again" | vsock connect 5000
        dmesg | grep -iE 'bug|warn|oops'
        """;

    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private string SocketPath => Path.Combine(_directory, "vsock");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData("Cloud", 2)]
    [InlineData("TrixieGeneric", 1)]
    public async Task Programs_in_the_guest_and_on_the_host_reach_each_other(string flavour, int processors)
    {
        using var echo = new NetSocket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        echo.Bind(new UnixDomainSocketEndPoint(SocketPath + "_5000"));
        echo.Listen(Connections);
        Task echoing = EchoAsync(echo);
        ConsoleTap? console = null;
        Task driven = Task.CompletedTask;
        GuestRun run = await GuestRun.BootAsync(
            Enum.Parse<KernelFlavour>(flavour),
            Script,
            o => o with
            {
                Engine = EngineKind.Software,
                Processors = processors,
                SerialOutput = console = new ConsoleTap(o.SerialOutput),
                VsockPath = SocketPath,
            },
            a => a.AddProgram("bin/vsock", GuestPrograms.Compile(GuestRun.Packages, "vsock")),
            started: _ => driven = DialAsync(console!),
            modules: ["hv_sock"]);

        run.AssertPoweredOff().AssertPrinted("NOBODY").AssertPrinted("again").AssertNotPrinted("BROKEN").AssertNotPrinted("BUG:").AssertNotPrinted("WARNING:");
        await driven;
        string hash = Convert.ToHexStringLower(SHA256.HashData(GuestPrograms.ReadBusybox(GuestRun.Packages)));
        Assert.Equal(2, run.Console.Split(hash).Length - 1);
        for (int i = 1; i <= Connections; i++)
        {
            run.AssertPrinted($"DONE word {i}");
        }

        Assert.False(File.Exists(SocketPath));
        echo.Dispose();
        await echoing;
    }

    private async Task DialAsync(ConsoleTap console)
    {
        await console.WaitForAsync("vsock: listening");
        foreach (int size in (int[])[10, Bytes])
        {
            using var socket = new NetSocket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(SocketPath), Cancellation);
            await socket.SendAsync("CONNECT 6000\n"u8.ToArray(), Cancellation);
            await using var stream = new NetworkStream(socket);
            Assert.StartsWith("OK ", await ReadLineAsync(stream), StringComparison.Ordinal);
            byte[] data = RandomNumberGenerator.GetBytes(size);
            long start = Stopwatch.GetTimestamp();
            Task writing = Task.Run(
                async () =>
                {
                    await stream.WriteAsync(data, Cancellation);
                    socket.Shutdown(SocketShutdown.Send);
                },
                Cancellation);
            byte[] back = new byte[size];
            await stream.ReadExactlyAsync(back, Cancellation);
            await writing;
            Assert.Equal(data, back);
            Assert.Equal(0, await stream.ReadAsync(back.AsMemory(0, 1), Cancellation));
            TestContext.Current.TestOutputHelper?.WriteLine(
                $"echo of {size} bytes: {size / Stopwatch.GetElapsedTime(start).TotalSeconds / (1 << 20):0.0} MiB/s each way");
        }
    }

    private static async Task<string> ReadLineAsync(Stream stream)
    {
        var line = new StringBuilder();
        byte[] one = new byte[1];
        do
        {
            await stream.ReadExactlyAsync(one, Cancellation);
            line.Append((char)one[0]);
        }
        while (one[0] != '\n');
        return line.ToString();
    }

    private static async Task EchoAsync(NetSocket listener)
    {
        try
        {
            while (true)
            {
                NetSocket client = await listener.AcceptAsync();
                _ = Task.Run(async () =>
                {
                    await using var stream = new NetworkStream(client, ownsSocket: true);
                    await stream.CopyToAsync(stream);
                });
            }
        }
        catch (SocketException)
        {
            // The test has ended.
        }
    }
}

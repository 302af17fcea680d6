// iperf3 between a guest and the host through passt: hv_netvsc, tulip, and virtio-net on qemu's TCG, in turn.
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Sharpvisor.Cli.Guests;

namespace Sharpvisor.Bench;

internal static partial class NetBenchmark
{
    private const string CommandLine = "console=ttyS0 quiet panic=-1";
    private const string Host = "10.0.2.2";
    private static readonly string[] s_modules = ["hv_netvsc", "tulip", "virtio_net", "virtio_pci"];

    private static readonly (string Key, string Title, string Format, bool LessIsBetter)[] s_rows =
    [
        ("out", "guest to host, Mbit/s", "0", false),
        ("in", "host to guest, Mbit/s", "0", false),
        ("trip", "round trip (ARP), us", "0", true),
    ];

    public static async Task<int> RunAsync(string[] arguments)
    {
        int rounds = arguments.Length > 0 ? int.Parse(arguments[0], CultureInfo.InvariantCulture) : 3;
        int seconds = arguments.Length > 1 ? int.Parse(arguments[1], CultureInfo.InvariantCulture) : 5;
        var packages = new DebianPackages(DebianPackages.DefaultCacheDirectory, Console.Error.WriteLine);
        LinuxGuest guest = LinuxGuest.Prepare(packages, KernelFlavour.Generic);
        int port = FreePort();
        string initrd = Path.GetTempFileName();
        await File.WriteAllBytesAsync(
            initrd,
            guest.BuildInitramfs(
                Script(port, seconds),
                a =>
                {
                    NetworkTools.AddTo(a);
                    NetworkTools.AddIperf3To(a, packages);
                },
                s_modules));
        using Process server = Start("iperf3", "-s", "-p", port.ToString(CultureInfo.InvariantCulture));
        _ = server.StandardOutput.ReadToEndAsync();
        Console.WriteLine($"Debian's kernel {guest.KernelVersion}, 1 processor, MTU 1500, iperf3 for {seconds} s, {rounds} rounds in turn");
        var results = new Dictionary<(string Subject, string Row), List<double>>();
        string[] subjects = ["netvsc", "tulip", "virtio, TCG"];
        try
        {
            for (int round = 0; round < rounds; round++)
            {
                foreach (string subject in subjects)
                {
                    await MeasureAsync(subject, guest.KernelPath, initrd, results);
                    Console.WriteLine($"  round {round + 1}  {subject,-12} " + string.Join(
                        ", ", s_rows.Select(r => $"{r.Title} {Number(results[(subject, r.Key)][^1], r.Format)}")));
                }
            }
        }
        finally
        {
            server.Kill();
            File.Delete(initrd);
        }

        Report(subjects, results);
        return 0;
    }

    private static void Report(string[] subjects, Dictionary<(string Subject, string Row), List<double>> results)
    {
        Console.WriteLine($"{"median",-26}{string.Concat(subjects.Select(s => $"{s,14}"))}{"netvsc/tulip",16}{"netvsc/virtio",16}");
        foreach ((string key, string title, string format, bool lessIsBetter) in s_rows)
        {
            double[] medians = [.. subjects.Select(s => Median(results[(s, key)]))];
            double Ratio(int other) => lessIsBetter ? medians[other] / medians[0] : medians[0] / medians[other];
            Console.WriteLine(
                $"{title,-26}{string.Concat(medians.Select(m => $"{Number(m, format),14}"))}{Number(Ratio(1), "0.0") + "x",16}{Number(Ratio(2), "0.0") + "x",16}");
        }
    }

    private static string Script(int port, int seconds) => $$"""
        for module in hv_vmbus hv_netvsc tulip virtio_pci virtio_net; do modprobe $module 2>/dev/null; done
        until [ -e /sys/class/net/eth0 ]; do usleep 50000; done
        {{NetworkTools.Configure}}
        echo "@@out $(iperf3 -c {{Host}} -p {{port}} -t {{seconds}} -f m | grep receiver)"
        echo "@@in $(iperf3 -c {{Host}} -p {{port}} -t {{seconds}} -f m -R | grep receiver)"
        arping -c 4 -I eth0 {{Host}} | sed -n 's/.*reply from.* \(.*\)ms$/@@trip \1/p'
        """;

    private static async Task MeasureAsync(
        string subject, string kernel, string initrd, Dictionary<(string Subject, string Row), List<double>> results)
    {
        using Process? passt = subject == "virtio, TCG" ? StartPasst(out string socket) : NoPasst(out socket);
        string sharpvisor = Path.Combine(RepositoryRoot(), "sharpvisor");
        using Process vm = passt is null
            ? Start(
                sharpvisor,
                "run", "--engine", "software", "--net", "user", "--integration", subject == "tulip" ? "off" : "on",
                "--kernel", kernel, "--initrd", initrd, "--append", CommandLine)
            : Start(
                "qemu-system-x86_64",
                "-accel", "tcg", "-cpu", "max", "-m", "512", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
                "-kernel", kernel, "-initrd", initrd, "-append", CommandLine,
                "-netdev", $"stream,id=net,server=off,addr.type=unix,addr.path={socket}", "-device", "virtio-net-pci,netdev=net");
        var trips = new List<double>();
        while (await vm.StandardOutput.ReadLineAsync() is { } line)
        {
            if (Result().Match(line) is { Success: true } result)
            {
                Add(results, (subject, result.Groups[1].Value), double.Parse(result.Groups[2].Value, CultureInfo.InvariantCulture));
            }
            else if (line.TrimEnd().Split("@@trip ") is [_, { } trip])
            {
                trips.Add(1000 * double.Parse(trip, CultureInfo.InvariantCulture));
            }
        }

        await vm.WaitForExitAsync();
        passt?.Kill();
        if (trips.Count == 0 || !results.ContainsKey((subject, "in")))
        {
            throw new InvalidOperationException($"{subject}: the guest ended before it had measured");
        }

        Add(results, (subject, "trip"), Median(trips));
    }

    private static Process? NoPasst(out string socket)
    {
        socket = "";
        return null;
    }

    private static Process StartPasst(out string socket)
    {
        socket = Path.Combine(Path.GetTempPath(), $"sharpvisor-bench-{Environment.ProcessId}.sock");
        File.Delete(socket);
        Process passt = Start(
            "passt", "--foreground", "--quiet", "--one-off", "--socket", socket,
            "--address", "10.0.2.15", "--netmask", "255.255.255.0", "--gateway", Host, "--mtu", "0");
        while (!File.Exists(socket) && !passt.HasExited)
        {
            Thread.Sleep(20);
        }

        return passt;
    }

    private static Process Start(string program, params string[] arguments)
    {
        Process process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        })!;
        _ = process.StandardError.ReadToEndAsync();
        return process;
    }

    private static void Add(Dictionary<(string Subject, string Row), List<double>> results, (string Subject, string Row) key, double value)
    {
        if (!results.TryGetValue(key, out List<double>? list))
        {
            results[key] = list = [];
        }

        list.Add(value);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    private static string RepositoryRoot()
    {
        string directory = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(directory, "Sharpvisor.slnx")))
        {
            directory = Path.GetDirectoryName(directory)!;
        }

        return directory;
    }

    [GeneratedRegex(@"@@(out|in) .* ([0-9.]+) Mbits/sec")]
    private static partial Regex Result();
}

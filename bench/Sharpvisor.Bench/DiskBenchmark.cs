// bench/disk: compare's disk works in the same guest on the same bytes: our emulated IDE, our storvsc, and qemu TCG's virtio-blk, in turn.
using System.Diagnostics;
using System.Globalization;
using Sharpvisor.Cli.Comparison;
using Sharpvisor.Cli.Guests;

namespace Sharpvisor.Bench;

internal sealed class DiskBenchmark : IDisposable
{
    private const string CommandLine = $"console=ttyS0 quiet panic=-1 rdinit={WorkloadArchive.InitPath}";
    private const string Ide = "ide";
    private const string Storvsc = "storvsc";
    private const string VirtioBlk = "virtio-blk";
    private static readonly string[] s_subjects = [Ide, Storvsc, VirtioBlk];
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(10);

    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-bench-").FullName;
    private readonly Dictionary<(string Subject, string Work), List<Result>> _results = [];

    private readonly record struct Result(double PerSecond, double CpuMicroseconds);

    public static async Task<int> RunAsync(string[] arguments)
    {
        int rounds = 3;
        if (arguments.Length > 1 || (arguments.Length == 1 && (!int.TryParse(arguments[0], CultureInfo.InvariantCulture, out rounds) || rounds < 1)))
        {
            Console.Error.WriteLine("usage: bench/disk [ROUNDS]");
            return 2;
        }

        using var benchmark = new DiskBenchmark();
        await benchmark.RunAsync(rounds);
        return 0;
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private async Task RunAsync(int rounds)
    {
        var packages = new DebianPackages(DebianPackages.DefaultCacheDirectory, Console.Error.WriteLine);
        LinuxGuest guest = LinuxGuest.Prepare(packages, KernelFlavour.Cloud);
        string initrd = Path.Combine(_directory, "initrd");
        await File.WriteAllBytesAsync(
            initrd,
            [.. guest.BuildInitramfs("", modules: ["hv_vmbus", "hv_storvsc", "ata_piix", "sd_mod", "virtio_pci", "virtio_blk"]), .. WorkloadArchive.Build(packages)]);
        string disk = Path.Combine(_directory, "disk");
        DiskComparison.WriteScratch(disk);
        Console.WriteLine($"kernel {guest.KernelVersion}, 1 VP, 512 MiB, {rounds} rounds in turn; our engine is the translator");
        for (int round = 0; round < rounds; round++)
        {
            foreach (string subject in s_subjects)
            {
                Console.Error.WriteLine($"round {round + 1}: {subject}");
                await MeasureAsync(subject, guest.KernelPath, initrd, disk);
            }
        }

        Report();
    }

    private async Task MeasureAsync(string subject, string kernel, string initrd, string disk)
    {
        using var limit = new CancellationTokenSource(s_limit);
        using Process process = Process.Start(new ProcessStartInfo(Program(subject), Arguments(subject, kernel, initrd, disk))
        {
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
        })!;
        int works = 0;
        double cpu = 0;
        while (await process.StandardOutput.ReadLineAsync(limit.Token) is { } line)
        {
            // The kernel may print before or after it on the same line.
            string text = line.Trim();
            if (text.StartsWith(PhaseRecorder.BeginMark, StringComparison.Ordinal))
            {
                cpu = MarkedRun.CpuSeconds(process.Id);
            }
            else if (text.StartsWith(PhaseRecorder.EndMark, StringComparison.Ordinal))
            {
                // KEY REQUESTS BYTES MICROSECONDS
                string[] words = text[PhaseRecorder.EndMark.Length..].Split(' ');
                double requests = double.Parse(words[1], CultureInfo.InvariantCulture);
                double seconds = double.Parse(words[3], CultureInfo.InvariantCulture) / 1e6;
                Add(subject, words[0], new Result(requests / seconds, (MarkedRun.CpuSeconds(process.Id) - cpu) / requests * 1e6));
                works++;
            }
            else if (text.StartsWith(PhaseRecorder.ErrorMark, StringComparison.Ordinal))
            {
                throw new InvalidOperationException($"{subject}: {text}");
            }
        }

        await process.WaitForExitAsync(limit.Token);
        if (works != DiskWork.All.Count)
        {
            throw new InvalidOperationException($"{subject} ended after {works} of {DiskWork.All.Count} works");
        }
    }

    private static string Program(string subject) =>
        subject == VirtioBlk ? "qemu-system-x86_64" : Path.Combine(Repository.Root, "artifacts", "sharpvisor", "sharpvisor");

    private static string[] Arguments(string subject, string kernel, string initrd, string disk) => subject == VirtioBlk
        ?
        [
            "-accel", "tcg", "-cpu", "max", "-m", "512", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
            "-kernel", kernel, "-initrd", initrd, "-append", CommandLine, "-drive", $"file={disk},if=virtio,format=raw,cache=writeback",
        ]
        :
        [
            "run", "--engine", "software", "--memory", "512M", "--kernel", kernel, "--initrd", initrd, "--append", CommandLine,
            "--integration", subject == Storvsc ? "on" : "off", "--disk", $"{disk},controller={(subject == Storvsc ? "scsi" : "ide")}",
        ];

    private void Add(string subject, string work, Result result)
    {
        if (!_results.TryGetValue((subject, work), out List<Result>? list))
        {
            _results[(subject, work)] = list = [];
        }

        list.Add(result);
    }

    private void Report()
    {
        Console.WriteLine($"{"",-30}{"requests a second",29}{"storvsc against",18}   {"CPU us a request",29}");
        Console.WriteLine($"{"work",-30}{Ide,9}{Storvsc,10}{VirtioBlk,10}{Ide,9}{VirtioBlk,12}{Ide,9}{Storvsc,10}{VirtioBlk,12}");
        foreach (DiskWork work in DiskWork.All)
        {
            Result ide = Median(Ide, work);
            Result storvsc = Median(Storvsc, work);
            Result virtio = Median(VirtioBlk, work);
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{work.Title,-30}{ide.PerSecond,9:0}{storvsc.PerSecond,10:0}{virtio.PerSecond,10:0}{storvsc.PerSecond / ide.PerSecond,8:0.00}x{storvsc.PerSecond / virtio.PerSecond,11:0.00}x"
                + $"{ide.CpuMicroseconds,9:0}{storvsc.CpuMicroseconds,10:0}{virtio.CpuMicroseconds,12:0}"));
        }
    }

    private Result Median(string subject, DiskWork work)
    {
        List<Result> list = _results[(subject, work.Key)];
        return new Result(
            list.Select(r => r.PerSecond).Order().ElementAt(list.Count / 2), list.Select(r => r.CpuMicroseconds).Order().ElementAt(list.Count / 2));
    }
}

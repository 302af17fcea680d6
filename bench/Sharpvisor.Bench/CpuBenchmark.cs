// bench/cpu: the same unmodified kernels and initramfs on ours and on qemu's TCG, in turn; medians and ratios of wall time and
// of the VMM's CPU time. On a busy host only the second says something.
using System.Globalization;
using Sharpvisor.Cli.Guests;

namespace Sharpvisor.Bench;

internal sealed class CpuBenchmark
{
    private const string CommandLine = "console=ttyS0 quiet panic=-1";
    private readonly List<string> _temporary = [];
    private readonly Dictionary<(string Subject, string Work), List<WorkTime>> _times = [];
    private int _rounds = 5;
    private bool _oursOnly;
    private string[]? _only;

    public static async Task<int> RunAsync(string[] arguments)
    {
        var benchmark = new CpuBenchmark();
        if (!benchmark.Parse(arguments))
        {
            Console.Error.WriteLine("usage: bench/cpu [--rounds N] [--works A,B,...] [--ours-only]");
            return 2;
        }

        try
        {
            await benchmark.RunAsync();
        }
        finally
        {
            benchmark._temporary.ForEach(File.Delete);
        }

        return 0;
    }

    private bool Parse(string[] arguments)
    {
        for (int i = 0; i < arguments.Length; i++)
        {
            switch (arguments[i])
            {
                case "--rounds" when i + 1 < arguments.Length && int.TryParse(arguments[i + 1], out _rounds) && _rounds > 0:
                    i++;
                    break;
                case "--works" when i + 1 < arguments.Length:
                    _only = arguments[++i].Split(',');
                    break;
                case "--ours-only":
                    _oursOnly = true;
                    break;
                default:
                    return false;
            }
        }

        return true;
    }

    private bool Wanted(string work) => _only == null || _only.Contains(work);

    private async Task RunAsync()
    {
        var packages = new DebianPackages(DebianPackages.DefaultCacheDirectory, Console.Error.WriteLine);
        LinuxGuest cloud = LinuxGuest.Prepare(packages, KernelFlavour.Cloud);
        CpuWork[] one = [.. CpuWork.OneProcessor.Where(w => Wanted(w.Name))];
        CpuWork[] two = [.. CpuWork.TwoProcessors.Where(w => Wanted(w.Name))];
        var guests = new List<(string Kernel, string Initrd, int Processors, string Boot, bool BootOnly)>
        {
            (cloud.KernelPath, Initrd(cloud, packages, one), 1, CpuWork.BootCloud, one.Length == 0),
        };
        if (two.Length != 0)
        {
            guests.Add((cloud.KernelPath, Initrd(cloud, packages, two), 2, "boot cloud, 2 VPs", false));
        }

        if (Wanted(CpuWork.BootGeneric))
        {
            LinuxGuest generic = LinuxGuest.Prepare(packages, KernelFlavour.Generic);
            guests.Add((generic.KernelPath, Initrd(generic, packages, []), 1, CpuWork.BootGeneric, true));
        }

        Console.WriteLine($"kernel {cloud.KernelVersion}, 512 MiB, {_rounds} rounds in turn; seconds");
        for (int round = 0; round < _rounds; round++)
        {
            foreach (var (kernel, initrd, processors, boot, bootOnly) in guests)
            {
                await OneAsync("ours", Ours, OursArguments(kernel, initrd, processors), boot, bootOnly);
                if (!_oursOnly)
                {
                    await OneAsync("tcg", "qemu-system-x86_64", TcgArguments(kernel, initrd, processors), boot, bootOnly);
                }
            }
        }

        Report();
    }

    private static string Ours { get; } = Path.Combine(Repository.Root, "artifacts", "sharpvisor", "sharpvisor");

    private static string[] OursArguments(string kernel, string initrd, int processors) =>
    [
        "run", "--engine", "software", "--processors", $"{processors}", "--memory", "512M",
        "--kernel", kernel, "--initrd", initrd, "--append", CommandLine,
    ];

    private static string[] TcgArguments(string kernel, string initrd, int processors) =>
    [
        "-accel", "tcg", "-cpu", "max", "-m", "512", "-smp", $"{processors}", "-nographic", "-no-reboot", "-nodefaults",
        "-serial", "stdio", "-kernel", kernel, "-initrd", initrd, "-append", CommandLine,
    ];

    private string Initrd(LinuxGuest guest, DebianPackages packages, CpuWork[] works)
    {
        string path = Path.GetTempFileName();
        _temporary.Add(path);
        string script = $"echo {MarkedRun.InitMark}\n{CpuWork.Script(works)}";
        File.WriteAllBytes(path, guest.BuildInitramfs(script, archive => CpuGuest.AddTo(archive, packages)));
        return path;
    }

    private async Task OneAsync(string subject, string program, string[] arguments, string boot, bool bootOnly)
    {
        foreach ((string work, WorkTime time) in await MarkedRun.RunAsync(program, arguments, boot, bootOnly))
        {
            if (!_times.TryGetValue((subject, work), out List<WorkTime>? list))
            {
                _times[(subject, work)] = list = [];
            }

            list.Add(time);
        }
    }

    private void Report()
    {
        Console.WriteLine($"{"work",-18} {"ours",7} {"tcg",7} {"speed",6}   {"ours CPU",8} {"tcg CPU",8} {"speed",6}");
        double logWall = 0;
        double logCpu = 0;
        int count = 0;
        foreach (string work in _times.Keys.Select(k => k.Work).Distinct())
        {
            WorkTime ours = Median("ours", work);
            WorkTime tcg = Median("tcg", work);
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{work,-18} {ours.Wall,7:0.00} {tcg.Wall,7:0.00} {tcg.Wall / ours.Wall,6:0.00}   "
                + $"{ours.Cpu,8:0.00} {tcg.Cpu,8:0.00} {tcg.Cpu / ours.Cpu,6:0.00}"));
            logWall += Math.Log(tcg.Wall / ours.Wall);
            logCpu += Math.Log(tcg.Cpu / ours.Cpu);
            count++;
        }

        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{"geometric mean",-18} {"",7} {"",7} {Math.Exp(logWall / count),6:0.00}   {"",8} {"",8} {Math.Exp(logCpu / count),6:0.00}"));
        Console.WriteLine("speed: TCG's time divided by ours; above 1 ours is faster");
    }

    private WorkTime Median(string subject, string work)
    {
        if (!_times.TryGetValue((subject, work), out List<WorkTime>? list))
        {
            return new WorkTime(double.NaN, double.NaN);
        }

        return new WorkTime(
            list.Select(t => t.Wall).Order().ElementAt(list.Count / 2), list.Select(t => t.Cpu).Order().ElementAt(list.Count / 2));
    }
}

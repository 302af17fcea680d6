// Kernel boot to init, from process start to the first line that the guest's init prints.
using System.Diagnostics;
using System.Globalization;
using Sharpvisor.Cli.Guests;

namespace Sharpvisor.Bench;

internal static class BootBenchmark
{
    private const string InitMark = "@@init";

    public static async Task<int> RunAsync(string[] arguments)
    {
        int rounds = arguments.Length > 0 ? int.Parse(arguments[0], CultureInfo.InvariantCulture) : 5;
        KernelFlavour flavour = arguments.Length > 1 ? Enum.Parse<KernelFlavour>(arguments[1], ignoreCase: true) : KernelFlavour.Cloud;
        var packages = new DebianPackages(DebianPackages.DefaultCacheDirectory, Console.Error.WriteLine);
        LinuxGuest guest = LinuxGuest.Prepare(packages, flavour);
        string initrd = Path.GetTempFileName();
        await File.WriteAllBytesAsync(initrd, guest.BuildInitramfs($"echo {InitMark}"));
        const string CommandLine = "console=ttyS0 quiet panic=-1";

        (string Name, string Program, string[] Arguments)[] subjects =
        [
            ("interpreter", Path.Combine(Repository.Root, "sharpvisor"),
                ["run", "--engine", "interpreter", "--kernel", guest.KernelPath, "--initrd", initrd, "--append", CommandLine]),
            ("translator", Path.Combine(Repository.Root, "sharpvisor"),
                ["run", "--engine", "software", "--kernel", guest.KernelPath, "--initrd", initrd, "--append", CommandLine]),
            ("qemu tcg", "qemu-system-x86_64",
                ["-accel", "tcg", "-cpu", "max", "-m", "512", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
                    "-kernel", guest.KernelPath, "-initrd", initrd, "-append", CommandLine]),
        ];
        Console.WriteLine($"boot to init, {flavour} kernel {guest.KernelVersion}, 1 VP, 512 MiB, {rounds} rounds in turn; seconds");
        var times = subjects.ToDictionary(s => s.Name, _ => new List<double>());
        for (int round = 0; round < rounds; round++)
        {
            foreach ((string name, string program, string[] list) in subjects)
            {
                double seconds = await TimeToMarkAsync(program, list);
                times[name].Add(seconds);
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  round {round + 1}  {name,-12} {seconds,7:0.00}"));
            }
        }

        File.Delete(initrd);
        double reference = Median(times["qemu tcg"]);
        foreach ((string name, List<double> list) in times)
        {
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"{name,-12} median {Median(list):0.00} s, {Median(list) / reference:0.00} of TCG's time"));
        }

        return 0;
    }

    private static async Task<double> TimeToMarkAsync(string program, string[] arguments)
    {
        long start = Stopwatch.GetTimestamp();
        using Process process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
        })!;
        while (await process.StandardOutput.ReadLineAsync() is { } line)
        {
            if (line.Contains(InitMark, StringComparison.Ordinal))
            {
                double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
                process.Kill();
                await process.WaitForExitAsync();
                return seconds;
            }
        }

        throw new InvalidOperationException($"{program} ended before init");
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);
}

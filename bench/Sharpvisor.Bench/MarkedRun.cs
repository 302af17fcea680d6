// Runs a VMM and notes wall and CPU time at each mark on the guest's serial console: the guest's own clock does not matter.
using System.Diagnostics;
using System.Globalization;

namespace Sharpvisor.Bench;

/// <summary>Seconds.</summary>
internal readonly record struct WorkTime(double Wall, double Cpu);

internal static class MarkedRun
{
    public const string InitMark = "@@init";
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(10);

    /// <returns>Time of each work; that of the boot, from process start, under <paramref name="boot"/>.</returns>
    public static async Task<Dictionary<string, WorkTime>> RunAsync(string program, string[] arguments, string boot, bool bootOnly)
    {
        var times = new Dictionary<string, WorkTime>();
        using var limit = new CancellationTokenSource(s_limit);
        long origin = Stopwatch.GetTimestamp();
        using Process process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
        })!;
        WorkTime started = default;
        string? running = null;
        while (await process.StandardOutput.ReadLineAsync(limit.Token) is { } line)
        {
            var now = new WorkTime(Stopwatch.GetElapsedTime(origin).TotalSeconds, CpuSeconds(process.Id));
            if (line.Contains(InitMark, StringComparison.Ordinal))
            {
                times[boot] = now;
                if (bootOnly)
                {
                    process.Kill();
                    break;
                }
            }
            else if (line.Contains(CpuWork.StartMark, StringComparison.Ordinal))
            {
                running = line[(line.IndexOf(CpuWork.StartMark, StringComparison.Ordinal) + CpuWork.StartMark.Length)..].Trim();
                started = now;
            }
            else if (line.Contains(CpuWork.EndMark, StringComparison.Ordinal) && running != null)
            {
                if (!line.Contains(CpuWork.EndMark + "0", StringComparison.Ordinal))
                {
                    throw new InvalidOperationException($"{Path.GetFileName(program)}: {running} failed in the guest: {line}");
                }

                times[running] = new WorkTime(now.Wall - started.Wall, now.Cpu - started.Cpu);
                running = null;
            }
        }

        await process.WaitForExitAsync(limit.Token);
        return times;
    }

    // proc(5), /proc/pid/stat: utime and stime are fields 14 and 15, in ticks of 10 ms.
    internal static double CpuSeconds(int pid)
    {
        try
        {
            string stat = File.ReadAllText($"/proc/{pid}/stat");
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return (long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture)) / 100.0;
        }
        catch (IOException)
        {
            return double.NaN;
        }
    }
}

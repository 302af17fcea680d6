// Benchmarks, most of them against qemu-system-x86_64 -accel tcg, in turn, on the same unmodified guest.
using Sharpvisor.Bench;

return args switch
{
    ["boot", .. string[] rest] => await BootBenchmark.RunAsync(rest),
    ["cpu", .. string[] rest] => await CpuBenchmark.RunAsync(rest),
    ["net", .. string[] rest] => await NetBenchmark.RunAsync(rest),
    ["disk", .. string[] rest] => await DiskBenchmark.RunAsync(rest),
    ["vmbus"] => VmbusBenchmark.Run(),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("usage: bench/boot [ROUNDS [cloud|generic]]; bench/cpu [--rounds N] [--works A,B,...] [--ours-only]; bench/disk [ROUNDS]; bench/vmbus; bench/net [ROUNDS [SECONDS]]");
    return 2;
}

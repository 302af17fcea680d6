// What --stats shows, against what a guest did: a program that counts for itself, and Linux's own counters.
using System.Globalization;
using System.IO.Pipes;
using System.Text.Json.Nodes;
using Sharpvisor.Cli.Guests;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class StatisticsTests : IDisposable
{
    private const ushort HvCallNotifyLongSpinWait = 8;
    private const ushort UnknownCode = 0x7FFF;

    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData(EngineKind.Interpreter)]
    [InlineData(EngineKind.Software)]
    public async Task Intercepts_hypercalls_and_instructions_are_exactly_what_the_guest_did(EngineKind engine)
    {
        var program = new CountedProgram();
        program.Repeat(100_000, a => a.add(r13, r12));
        program.Repeat(5000, a => a.@in(al, 0x71));
        program.Repeat(1000, a => a.@out(0x80, al));
        program.Repeat(300, a =>
        {
            a.xor(eax, eax);
            a.cpuid();
        });
        Msr(program, 40, 0x1B);
        Msr(program, 50, 0x4000_0000);
        program.Repeat(60, a => a.mov(eax, __dword_ptr[0xFEE0_0020]));
        program.Repeat(70, a => a.mov(eax, __dword_ptr[0xFEC0_0000]));
        program.Repeat(1, a =>
        {
            // TLFS 3.13: who has not said its name may make no hypercalls.
            a.mov(ecx, 0x4000_0000);
            a.mov(eax, 0x1234);
            a.xor(edx, edx);
            a.wrmsr();
        });
        Hypercall(program, 80, HvCallNotifyLongSpinWait);
        Hypercall(program, 90, UnknownCode);
        program.Finish();
        string image = Path.Combine(_directory, "guest");
        await File.WriteAllBytesAsync(image, program.Image, TestContext.Current.CancellationToken);

        using VirtualMachine vm = VirtualMachine.Create(new VmOptions { KernelPath = image, Engine = engine, DebugExit = true, MemoryBytes = 64 << 20 });
        vm.Start();
        VmResult result = await vm.Completion.WaitAsync(TimeSpan.FromSeconds(120), TestContext.Current.CancellationToken);
        Assert.Equal(VmExitKind.DebugExit, result.Kind);
        JsonNode stats = Read(vm);
        JsonNode intercepts = stats["intercepts"]!;
        (string Name, long Expected, JsonNode? Actual)[] counts =
        [
            ("port 0x71", 5000, intercepts["port"]!["0x71"]),
            ("port 0x80", 1000, intercepts["port"]!["0x80"]),
            ("port 0xf4", 1, intercepts["port"]!["0xf4"]),
            ("cpuid", 300, intercepts["cpuid"]),
            ("msr apic", 40, intercepts["msr"]!["apic"]),
            ("msr synthetic", 51, intercepts["msr"]!["synthetic"]),
            ("mmio apic", 60, intercepts["mmio"]!["apic"]),
            ("mmio device", 70, intercepts["mmio"]!["device"]),
            ("spin wait", 80, stats["hypercalls"]!["HvCallNotifyLongSpinWait"]),
            ("other hypercalls", 90, stats["hypercalls"]!["other"]),
            ("instructions", program.Instructions, stats["instructions"]!["total"]),
        ];
        Assert.All(counts, c => Assert.Equal((c.Name, c.Expected), (c.Name, c.Actual?.GetValue<long>() ?? 0)));
        Assert.Equal(vm.Uptime.TotalSeconds, stats["wall_seconds"]!.GetValue<double>(), 0.001);
        Assert.InRange(stats["cpu_seconds"]!.GetValue<double>(), 0.001, Environment.CpuUsage.TotalTime.TotalSeconds);
    }

    [Fact]
    public async Task Signals_interrupts_requests_and_bytes_agree_with_Linux_s_own_counters()
    {
        string disk = Path.Combine(_directory, "disk.img");
        await File.WriteAllBytesAsync(disk, new byte[16 << 20], TestContext.Current.CancellationToken);
        using var keyboard = new AnonymousPipeServerStream(PipeDirection.Out);
        using var guestEnd = new AnonymousPipeClientStream(PipeDirection.In, keyboard.ClientSafePipeHandle);
        ConsoleTap? console = null;
        Task<(List<IReadOnlyDictionary<string, long>> Host, List<long[]> Guest)>? snapshots = null;
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            """
            modprobe hv_vmbus; modprobe hv_storvsc; modprobe sd_mod
            n=0; until [ -b /dev/sda ]; do n=$((n+1)); [ $n -gt 900 ] && echo NODISK && poweroff -f; usleep 100000; done
            until [ "$(cat /sys/block/sda/inflight)" = "       0        0" ]; do usleep 100000; done
            dd if=/dev/sda of=/dev/null bs=64k count=1 iflag=direct 2>/dev/null
            cd "$(readlink -f /sys/block/sda/device)/../../.."
            show() { echo "@@$1 $(cat channels/*/interrupts) $(cat channels/*/events)"; read line < /dev/console; }
            show before
            dd if=/dev/sda of=/dev/null bs=64k count=100 iflag=direct 2>/dev/null
            dd if=/bin/busybox of=/dev/sda bs=4k count=50 oflag=direct 2>/dev/null
            show after
            """,
            o => o with
            {
                Engine = EngineKind.Software,
                SerialOutput = console = new ConsoleTap(o.SerialOutput),
                SerialInput = guestEnd,
                Disks = [new DiskOptions(disk, DiskController.Scsi, false)],
            },
            started: vm => snapshots = SnapshotsAsync(vm, console!, keyboard).ContinueWith(
                t =>
                {
                    if (!t.IsCompletedSuccessfully)
                    {
                        vm.Stop();
                    }

                    return t;
                },
                TaskScheduler.Default).Unwrap(),
            modules: ["hv_vmbus", "hv_storvsc", "sd_mod"]);
        (List<IReadOnlyDictionary<string, long>> host, List<long[]> guest) = await snapshots!;
        run.AssertPoweredOff();

        Assert.Equal(guest[1][0] - guest[0][0], Difference(host, "vmbus.scsi0.interrupts"));
        Assert.Equal(guest[1][1] - guest[0][1], Difference(host, "vmbus.scsi0.signals"));
        Assert.Equal(150, Difference(host, "storage.scsi0.requests"));
        Assert.Equal(100 * 65536, Difference(host, "storage.scsi0.read_bytes"));
        Assert.Equal(50 * 4096, Difference(host, "storage.scsi0.written_bytes"));
        Assert.Equal(150, Difference(host, "vmbus.scsi0.packets_in"));
        Assert.Equal(150, Difference(host, "vmbus.scsi0.packets_out"));
    }

    private static async Task<(List<IReadOnlyDictionary<string, long>> Host, List<long[]> Guest)> SnapshotsAsync(VirtualMachine vm, ConsoleTap console, Stream keyboard)
    {
        // Ends the reader of the guest's end, which must not be closed under it.
        await using Stream closing = keyboard;
        var host = new List<IReadOnlyDictionary<string, long>>();
        var guest = new List<long[]>();
        foreach (string mark in (string[])["@@before ", "@@after "])
        {
            string numbers = await console.WaitForAsync(mark);
            guest.Add([.. numbers.Split(' ').Select(n => long.Parse(n, CultureInfo.InvariantCulture))]);
            host.Add(vm.Statistics.Snapshot());
            await keyboard.WriteAsync("\n"u8.ToArray());
        }

        return (host, guest);
    }

    private static long Difference(List<IReadOnlyDictionary<string, long>> snapshots, string name) => snapshots[1][name] - snapshots[0][name];

    private static void Msr(CountedProgram program, int times, uint msr) => program.Repeat(times, a =>
    {
        a.mov(ecx, msr);
        a.rdmsr();
    });

    // Fast: nothing in memory.
    private static void Hypercall(CountedProgram program, int times, ushort code) => program.Repeat(times, a =>
    {
        a.mov(ecx, 0x1_0000u | code);
        a.xor(edx, edx);
        a.xor(r8d, r8d);
        a.vmcall();
    });

    private static JsonNode Read(VirtualMachine vm)
    {
        using var stream = new MemoryStream();
        vm.WriteStatistics(stream);
        return JsonNode.Parse(stream.ToArray())!;
    }
}

// kexec: the running kernel unloads VMBus (drivers/hv/vmbus_drv.c, hv_kexec_handler) and its successor connects anew.
using Sharpvisor.Cli.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class KexecTests : IDisposable
{
    private const string ReadDisk = """
        modprobe hv_vmbus; modprobe hv_storvsc; modprobe sd_mod
        n=0; until [ -b /dev/sda ]; do n=$((n+1)); [ $n -gt 900 ] && echo NODISK && poweroff -f; usleep 100000; done

        """;

    // Few: kexec checks the SHA-256 of all that it loads, twice.
    private static readonly string[] s_modules = ["hv_vmbus", "hv_storvsc", "sd_mod"];

    private readonly string _image = Path.GetTempFileName();

    public void Dispose() => File.Delete(_image);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_kernel_started_by_kexec_connects_to_VMBus_and_reads_the_disk(int processors)
    {
        byte[] content = new byte[8 << 20];
        new Random(4).NextBytes(content);
        await File.WriteAllBytesAsync(_image, content, TestContext.Current.CancellationToken);
        string hash = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(content));
        LinuxGuest guest = GuestRun.Guest(KernelFlavour.Cloud);
        byte[] second = guest.BuildInitramfs(ReadDisk + """
            echo "second kernel, $(nproc) processors: $(sha256sum /dev/sda)"
            dmesg | grep -i vmbus
            """, modules: s_modules);

        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            ReadDisk + """
            echo "first kernel: $(sha256sum /dev/sda)"
            kexec /kernel /second "console=ttyS0 panic=-1"
            """,
            o => o with { Disks = [new DiskOptions(_image, DiskController.Scsi, false)], Processors = processors },
            archive =>
            {
                archive.AddProgram("bin/kexec", GuestPrograms.Compile(GuestRun.Packages, "kexec"));
                archive.AddFile("kernel", File.ReadAllBytes(guest.KernelPath));
                archive.AddFile("second", second);
            },
            modules: s_modules);

        run.AssertPoweredOff()
            .AssertPrinted($"first kernel: {hash}")
            .AssertPrinted($"second kernel, {processors} processors: {hash}");
    }
}

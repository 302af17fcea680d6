// Disks that are not plain writable raw images, and disks that come and go.
using System.Buffers.Binary;
using System.Security.Cryptography;
using Sharpvisor.Cli.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class DiskKindsTests : IDisposable
{
    private const int Bytes = 4 << 20;
    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_fixed_VHD_a_read_only_disk_and_DVDs_on_both_controllers_are_what_the_files_are()
    {
        byte[] vhd = RandomBytes(1);
        string vhdPath = Write("disk.vhd", [.. vhd, .. VhdFooter(Bytes)]);
        byte[] readOnly = RandomBytes(2);
        string readOnlyPath = Write("readonly.img", readOnly);
        byte[] document = RandomBytes(3)[..300_001];
        string isoPath = Write("dvd.iso", IsoImage.Create(("README.TXT", "from the host\n"u8.ToArray()), ("DATA.BIN", document)));

        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            """
            modprobe hv_vmbus; modprobe hv_storvsc; modprobe ata_piix; modprobe sd_mod; modprobe sr_mod; modprobe isofs
            n=0; until [ -b /dev/sda ] && [ -b /dev/sdb ] && [ -b /dev/sr0 ] && [ -b /dev/sr1 ]; do
                n=$((n+1)); [ $n -gt 900 ] && ls /dev && dmesg | tail -n 40 && poweroff -f; usleep 100000; done
            sha256sum /dev/sda /dev/sdb; cat /sys/block/sd?/ro
            dd if=/bin/busybox of=/dev/sda bs=4k count=4 conv=fsync 2>/dev/null && echo WROTE VHD
            dd if=/bin/busybox of=/dev/sdb bs=4k count=4 conv=fsync && echo WROTE READONLY
            for d in sr0 sr1; do
                mount -t iso9660 /dev/$d /mnt && echo "$d $(readlink /sys/block/$d/device/driver) $(cat /mnt/readme.txt) $(sha256sum /mnt/data.bin)"
                umount /mnt
            done
            """,
            o => o with
            {
                Disks =
                [
                    new DiskOptions(vhdPath, DiskController.Scsi, false),
                    new DiskOptions(readOnlyPath, DiskController.Scsi, true),
                    new DiskOptions(isoPath, DiskController.Scsi, true),
                    new DiskOptions(isoPath, DiskController.Ide, true),
                ],
            });

        string documentHash = Hash(document);
        run.AssertPoweredOff()
            .AssertPrinted($"{Hash(vhd)}  /dev/sda")
            .AssertPrinted($"{Hash(readOnly)}  /dev/sdb")
            .AssertPrinted("WROTE VHD")
            .AssertNotPrinted("WROTE READONLY")
            .AssertPrinted($"from the host {documentHash}");
        Assert.Equal(2, run.Console.Split(documentHash).Length - 1);
        Assert.Equal(readOnly, await File.ReadAllBytesAsync(readOnlyPath, TestContext.Current.CancellationToken));
        byte[] after = await File.ReadAllBytesAsync(vhdPath, TestContext.Current.CancellationToken);
        GuestPrograms.ReadBusybox(GuestRun.Packages).AsSpan(0, 16384).CopyTo(vhd);
        Assert.Equal(Hash([.. vhd, .. VhdFooter(Bytes)]), Hash(after));
    }

    [Fact]
    public async Task A_disk_added_and_removed_while_the_guest_runs_appears_and_disappears()
    {
        byte[] first = RandomBytes(5);
        byte[] second = RandomBytes(6);
        string added = Write("added.img", second);
        ConsoleTap? console = null;
        Task? driver = null;
        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            """
            modprobe hv_vmbus; modprobe hv_storvsc; modprobe sd_mod
            n=0; until [ -b /dev/sda ]; do n=$((n+1)); [ $n -gt 900 ] && echo NODISK && poweroff -f; usleep 100000; done
            for round in 1 2 3; do
                echo "ready to add $round"
                n=0; until [ -b /dev/sdb ]; do n=$((n+1)); [ $n -gt 900 ] && echo NOT ADDED && poweroff -f; usleep 100000; done
                sha256sum /dev/sdb
                (while dd if=/dev/sdb of=/dev/null bs=64k iflag=direct 2>/dev/null; do :; done) &
                echo "ready to remove $round"
                n=0; while [ -b /dev/sdb ]; do n=$((n+1)); [ $n -gt 900 ] && echo NOT REMOVED && poweroff -f; usleep 100000; done
                wait
            done
            sha256sum /dev/sda
            """,
            o => o with { Disks = [new DiskOptions(Write("first.img", first), DiskController.Scsi, false)], SerialOutput = console = new ConsoleTap(o.SerialOutput) },
            started: vm => driver = Task.Run(async () =>
            {
                for (int round = 1; round <= 3; round++)
                {
                    await console!.WaitForAsync($"ready to add {round}");
                    int lun = vm.AddDisk(new DiskOptions(added, DiskController.Scsi, true));
                    Assert.Equal(1, lun);
                    await console.WaitForAsync($"ready to remove {round}");
                    Assert.True(vm.RemoveDisk(lun));
                    Assert.False(vm.RemoveDisk(lun));
                    // Nobody holds it any more.
                    using FileStream file = File.Open(added, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
                }
            }));
        await driver!;
        run.AssertPoweredOff().AssertPrinted($"{Hash(first)}  /dev/sda").AssertPrinted($"{Hash(second)}  /dev/sdb");
    }

    private static string Hash(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    private static byte[] RandomBytes(int seed)
    {
        byte[] bytes = new byte[Bytes];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    // "Virtual Hard Disk Image Format Specification", Hard Disk Footer Format.
    private static byte[] VhdFooter(long bytes)
    {
        byte[] footer = new byte[512];
        "conectix"u8.CopyTo(footer);
        BinaryPrimitives.WriteUInt32BigEndian(footer.AsSpan(8), 2);
        BinaryPrimitives.WriteUInt32BigEndian(footer.AsSpan(12), 0x10000);
        BinaryPrimitives.WriteUInt64BigEndian(footer.AsSpan(16), ulong.MaxValue);
        BinaryPrimitives.WriteInt64BigEndian(footer.AsSpan(40), bytes);
        BinaryPrimitives.WriteInt64BigEndian(footer.AsSpan(48), bytes);
        BinaryPrimitives.WriteUInt32BigEndian(footer.AsSpan(60), 2);
        footer.AsSpan(68, 16).Fill(0x5A);
        uint sum = 0;
        foreach (byte b in footer)
        {
            sum += b;
        }

        BinaryPrimitives.WriteUInt32BigEndian(footer.AsSpan(64), ~sum);
        return footer;
    }

    private string Write(string name, byte[] content)
    {
        string path = Path.Combine(_directory, name);
        File.WriteAllBytes(path, content);
        return path;
    }
}

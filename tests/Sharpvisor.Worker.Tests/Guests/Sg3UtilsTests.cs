// Debian's sg3-utils against the synthetic disk and DVD drive: a second opinion on the SCSI command sets, and on how storvsc carries them.
using System.Globalization;
using System.Text;
using Sharpvisor.Cli.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class Sg3UtilsTests : IDisposable
{
    private const int DiskBytes = 8 << 20;

    // sg3_utils(8), EXIT STATUS.
    private const int Good = 0;
    private const int NotReady = 2;
    private const int IllegalRequest = 5;
    private const int InvalidOpcode = 9;
    private const int Miscompare = 14;
    private const int OutOfRange = 22;

    // sg_lib's "error that fits no category": what is left when storvsc made a success of a failed INQUIRY or MODE SENSE
    // (storvsc_on_io_completion) and no data came.
    private const int NoData = 49;
    private const int NoPage = 83;

    private static readonly (string Command, int Status, string[] Words)[] s_disk =
    [
        ("sg_inq $d", Good, ["PDT=0  RMB=0", "version=0x05  [SPC-3]", "CmdQue=1", "Vendor identification: Msft", "Product identification: Virtual Disk"]),
        ("sg_vpd $d", Good, ["[sv]", "[sn]", "[di]", "[bl]", "[bdc]", "[lbpv]"]),
        ("sg_vpd -p sn $d", Good, ["Unit serial number: "]),
        ("sg_vpd -p di $d", Good, ["designator type: NAA", "0x60022480", "designator type: T10 vendor identification", "vendor id: Msft"]),
        ("sg_vpd -p bl $d", Good, ["(WSNZ): 1", "granularity: 8 blocks", "Maximum unmap LBA count: -1 [unbounded]", "descriptor count: 256", "Maximum write same length: 0x10000"]),
        ("sg_vpd -p bdc $d", Good, ["Non-rotating medium"]),
        ("sg_vpd -p lbpv $d", Good, ["(LBPU): 1", "(LBPWS): 1", "(LBPWS10): 1", "(LBPRZ): 1", "thin provisioned"]),
        ("sg_vpd -p 0xb6 $d", NoPage, []),
        ("sg_readcap $d", Good, ["Last LBA=16383 (0x3fff)", "Logical block length=512 bytes"]),
        ("sg_readcap -l $d", Good, ["lbpme=1, lbprz=1", "Last LBA=16383", "physical block length=4096"]),
        ("sg_luns $d", Good, ["2 lun entries", "0000000000000000", "0001000000000000"]),
        ("sg_luns -s 1 $d", Good, ["Lun list length = 0"]),
        ("sg_luns -s 2 $d", Good, ["2 lun entries"]),
        ("sg_luns -s 0x55 $d", IllegalRequest, []),
        ("sg_modes $d", Good, ["WP=0, DpoFua=1", "08 12 04 00", "0a 0a 00 10", "1c 0a 08 00", "00 00 40 00 00 00 02 00"]),
        ("sg_modes -6 -p 8 $d", Good, ["08 12 04 00"]),
        ("sg_modes -c 1 $d", Good, ["08 12 04 00", "0a 0a 00 00", "1c 0a 00 00"]),
        ("sg_modes -p 0x19 $d", NoData, []),
        ("sg_wr_mode -p 8 -c 8,12,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0 $d", Good, []),
        ("sg_modes -p 8 $d", Good, ["08 12 00 00"]),
        ("sg_wr_mode -p 8 -c 8,12,4,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0 $d", Good, []),
        ("sg_wr_mode -p 0xa -c 0a,0a,0,ff,0,0,0,0,0,0,0,0 $d", IllegalRequest, []),
        ("sg_turs -n 3 $d", Good, ["0 errors"]),
        ("sg_requests $d", Good, ["Fixed format", "No Sense"]),
        ("sg_requests -d $d", Good, ["Descriptor format", "No Sense"]),
        ("sg_start --stop $d && sg_start --start $d", Good, []),
        ("sg_senddiag -t $d", Good, ["GOOD"]),
        ("sg_sync $d && sg_sync -S -l 8 -c 8 $d", Good, []),
        ("sg_sync -l 16384 -c 1 $d", OutOfRange, []),
        ("sg_seek -l 16383 $d", Good, []),
        ("sg_seek -l 16384 $d", OutOfRange, []),
        ("sg_opcodes $d", InvalidOpcode, []),
        ("sg_logs $d", InvalidOpcode, []),
        ("sg_persist -k $d", InvalidOpcode, []),
        ("sg_persist --out --register --param-sark=1 $d", InvalidOpcode, []),
        ("sg_get_lba_status -l 0 $d", InvalidOpcode, []),
        ("sg_compare_and_write -l 0 -i x $d", InvalidOpcode, []),
        ("sg_read if=$d bs=512 count=64", Good, ["64+0 records in"]),
        ("for c in 6 10 12 16; do sg_dd if=$d bs=512 skip=8 count=128 blk_sgio=1 cdbsz=$c of=r$c; done; sha256sum r6 r10 r12 r16 | cut -c1-64 | uniq -c", Good, ["  4 "]),
        ("sg_dd if=x of=$d bs=512 seek=1000 count=128 blk_sgio=1 oflag=fua && dd if=$d bs=512 skip=1000 count=128 iflag=direct | cmp - x", Good, []),
        ("sg_verify -l 1000 -c 128 $d && sg_verify -S -l 1000 -c 128 $d", Good, []),
        ("sg_verify -l 16380 -c 8 $d", OutOfRange, []),
        ("sg_verify -l 1000 -c 128 -n 65536 -i x $d", Good, []),
        ("sg_verify -l 1001 -c 1 -n 512 -i x $d", Miscompare, []),
        ("sg_write_verify -S -l 3000 -n 8 --ilen=4096 -i x $d && sg_verify -l 3000 -c 8 -n 4096 -i x $d", Good, []),
        ("sg_unmap -l 1000 -n 64 -f $d && sg_verify -l 1000 -c 64 -n 32768 -i zero $d && sg_verify -l 1064 -c 1 -n 512 -i tail $d", Good, []),
        ("sg_unmap -l 16380 -n 8 -f $d", OutOfRange, []),
        ("sg_write_same -l 2000 -n 16 -i x -x 512 $d && sg_verify -l 2015 -c 1 -n 512 -i x $d", Good, []),
        ("sg_write_same -S -U -l 2000 -n 16 $d && sg_verify -l 2000 -c 16 -n 8192 -i zero $d", Good, []),
        ("sg_write_same -S -N -l 1064 -n 1 $d && sg_verify -l 1064 -c 1 -n 512 -i zero $d", Good, []),
        ("sg_write_same -l 2000 -n 0 $d", IllegalRequest, []),
        ("sg_write_same -l 16380 -n 8 $d", OutOfRange, []),
        ("sg_raw -r 512 $d 28 20 00 00 00 00 00 00 01 00", IllegalRequest, ["Invalid field in cdb"]),
        ("sg_raw -r 512 $d 28 00 ff ff ff f0 00 00 01 00", OutOfRange, ["Logical block address out of range"]),
        ("sg_raw $d ff 00 00 00 00 00 00 00 00 00", InvalidOpcode, ["Invalid command operation code"]),
    ];

    private static readonly (string Command, int Status, string[] Words)[] s_dvd =
    [
        ("sg_inq $d", Good, ["PDT=5  RMB=1", "version=0x00", "Product identification: Virtual DVD-ROM"]),
        ("sg_vpd -a $d", Good, ["[sv]", "[di]", "0x60022480"]),
        ("sg_vpd -p sn $d", NoPage, []),
        ("sg_readcap $d", Good, ["Last LBA=1023", "Logical block length=2048"]),
        ("sg_readcap -l $d", InvalidOpcode, []),
        ("sg_modes $d", Good, ["01 0a 00 00", "2a 14 0b 00"]),
        ("sg_modes -c 3 $d", NoData, []),
        ("sg_get_config $d", Good, ["Current profile: CD-ROM", "Random readable feature", "Logical block size=0x800"]),
        ("sg_turs $d && sg_sync $d", Good, []),
        ("sg_verify -l 0 -c 8 $d", Good, []),
        ("sg_verify -l 1020 -c 8 $d", OutOfRange, []),
        ("sg_seek -l 1024 $d", OutOfRange, []),
        ("sg_dd if=$d of=dvd bs=2048 count=1024 blk_sgio=1 && sha256sum dvd", Good, ["DVD-HASH"]),
        ("sg_raw $d 2a 00 00 00 00 00 00 00 01 00", InvalidOpcode, []),
        ("sg_persist -k $d", InvalidOpcode, []),
        // Past sr_mod, which unlocks the tray whenever its device is closed.
        ("sg_prevent --prevent 1 /dev/sg1 && sg_start --eject /dev/sg1", IllegalRequest, []),
        ("sg_prevent --allow /dev/sg1 && sg_start --eject /dev/sg1", Good, []),
        ("sg_turs $d", NotReady, []),
    ];

    private readonly string _directory = Directory.CreateTempSubdirectory("sharpvisor-test-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Each_command_is_answered_correctly_or_with_the_right_sense_data()
    {
        byte[] disk = new byte[DiskBytes];
        new Random(1).NextBytes(disk);
        string diskPath = Path.Combine(_directory, "disk.img");
        await File.WriteAllBytesAsync(diskPath, disk, TestContext.Current.CancellationToken);
        byte[] dvd = new byte[2 << 20];
        new Random(2).NextBytes(dvd);
        "CD001"u8.CopyTo(dvd.AsSpan((16 * 2048) + 1));
        string dvdPath = Path.Combine(_directory, "dvd.iso");
        await File.WriteAllBytesAsync(dvdPath, dvd, TestContext.Current.CancellationToken);

        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            Script(),
            o => o with
            {
                Engine = EngineKind.Software,
                CommandLine = o.CommandLine + " quiet",
                Disks = [new DiskOptions(diskPath, DiskController.Scsi, false), new DiskOptions(dvdPath, DiskController.Scsi, true)],
            },
            a => Sg3Utils.AddTo(a, GuestRun.Packages),
            modules: ["hv_vmbus", "hv_storvsc", "sd_mod", "sr_mod", "sg"]);

        run.AssertPoweredOff();
        string dvdHash = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(dvd));
        var failures = new StringBuilder();
        int index = 0;
        foreach ((string command, int status, string[] words) in (ReadOnlySpan<(string, int, string[])>)[.. s_disk, .. s_dvd])
        {
            string begin = $"@@begin {index}\r\n";
            int from = run.Console.IndexOf(begin, StringComparison.Ordinal) + begin.Length;
            int to = run.Console.IndexOf($"@@end {index} ", StringComparison.Ordinal);
            string output = to < from ? "" : run.Console[from..to];
            bool isExpected = to >= from
                && run.Console.AsSpan(to).StartsWith(string.Create(CultureInfo.InvariantCulture, $"@@end {index} {status}\r"))
                && words.All(w => output.Contains(w == "DVD-HASH" ? dvdHash : w, StringComparison.Ordinal));
            if (!isExpected)
            {
                string end = to < 0 ? "" : run.Console[to..run.Console.IndexOf('\n', to)];
                failures.Append(CultureInfo.InvariantCulture, $"{command}: expected {status} and [{string.Join("|", words)}]; got {end}\n{output}\n");
            }

            index++;
        }

        Assert.True(failures.Length == 0, failures.ToString());
    }

    private static string Script()
    {
        var script = new StringBuilder("""
            echo 1 > /proc/sys/kernel/printk
            modprobe hv_vmbus; modprobe hv_storvsc; modprobe sd_mod; modprobe sr_mod; modprobe sg
            n=0; until [ -b /dev/sda ] && [ -b /dev/sr0 ]; do n=$((n+1)); [ $n -gt 900 ] && echo NODISK && poweroff -f; usleep 100000; done
            cd /tmp
            dd if=/bin/busybox of=x bs=64k count=1 2>/dev/null; dd if=/dev/zero of=zero bs=64k count=1 2>/dev/null
            dd if=x of=tail bs=512 skip=64 count=1 2>/dev/null

            """);
        int index = 0;
        foreach ((string device, (string Command, int, string[])[] checks) in ((string, (string, int, string[])[])[])[("sda", s_disk), ("sr0", s_dvd)])
        {
            script.Append(CultureInfo.InvariantCulture, $"d=/dev/{device}\n");
            foreach ((string command, _, _) in checks)
            {
                script.Append(CultureInfo.InvariantCulture, $"echo @@begin {index}; {{ {command}; }} 2>&1; echo @@end {index} $?\n");
                index++;
            }
        }

        return script.ToString();
    }
}

// ATA disks register by register: identify, PIO, DMA, errors, reset.
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.Devices.Pci;
using Xunit;

namespace Sharpvisor.Devices.Tests.Ide;

public sealed class AtaDiskTests : IDisposable
{
    private const int Sectors = 4096;
    private readonly IdeBoard _board = new();
    private readonly MemoryDisk _disk = new(Sectors);

    public AtaDiskTests()
    {
        RandomNumberGenerator.Fill(_disk.Content);
        _board.Ide.AttachDisk(0, 0, _disk);
    }

    public void Dispose() => _board.Dispose();

    [Fact]
    public void The_function_is_a_PIIX4_IDE_controller_with_both_channels_on()
    {
        Assert.Equal(0x71118086u, _board.Ide.ReadConfig(0, 4));
        Assert.Equal(0x010180u, _board.Ide.ReadConfig(PciConfig.ClassCode, 4) & 0xFFFFFF);
        Assert.Equal(0x80008000u, _board.Ide.ReadConfig(0x40, 4));
        _board.Ide.WriteConfig(0x20, 4, uint.MaxValue);
        Assert.Equal(0xFFF1u, _board.Ide.ReadConfig(0x20, 4));
    }

    [Fact]
    public void Reset_leaves_the_signature_of_a_disk()
    {
        _board.OutControl(4);
        _board.OutControl(0);
        Assert.Equal(0x50, _board.Wait());
        Assert.Equal((1, 1, 1, 0, 0), (_board.In(1), _board.In(2), _board.In(3), _board.In(4), _board.In(5)));
    }

    [Fact]
    public void Identify_describes_the_disk_and_sums_to_0()
    {
        _board.Out(6, 0xA0);
        _board.Out(7, 0xEC);
        Assert.Equal(IdeBoard.Rdy | 0x10 | IdeBoard.Drq, _board.Wait());
        byte[] data = _board.ReadData(512);
        Assert.Equal(0, data.Aggregate((byte)0, (sum, b) => (byte)(sum + b)));
        Assert.Equal("Virtual HD", Text(data, 27, 20).TrimEnd());
        Assert.Equal("01234567" + "89abcdef" + "0123", Text(data, 10, 10));
        Assert.Equal((uint)Sectors, BinaryPrimitives.ReadUInt32LittleEndian(data.AsSpan(120)));
        Assert.Equal((ulong)Sectors, BinaryPrimitives.ReadUInt64LittleEndian(data.AsSpan(200)));
        Assert.Equal(0x50, _board.In(7));
        Assert.Equal(1, _board.Irq14.Raised);
    }

    [Theory]
    [InlineData(0x20, false, 1)]
    [InlineData(0x24, true, 1)]
    [InlineData(0xC4, false, 8)]
    [InlineData(0x29, true, 8)]
    public void PIO_reads_come_in_blocks_with_an_interrupt_each(int command, bool isExt, int multiple)
    {
        SetMultiple(multiple);
        int before = _board.Irq14.Raised;
        Address(isExt, 100, 20);
        _board.Out(7, command);
        var data = new List<byte>();
        while (data.Count < 20 * 512)
        {
            Assert.Equal(IdeBoard.Drq, _board.Wait() & (IdeBoard.Drq | IdeBoard.Err | IdeBoard.Bsy));
            data.AddRange(_board.ReadData(Math.Min(multiple * 512, (20 * 512) - data.Count), single: data.Count == 0));
        }

        Assert.Equal(_disk.Content[(100 * 512)..(120 * 512)], data);
        Assert.Equal(0x50, _board.Wait());
        Assert.Equal((20 + multiple - 1) / multiple, _board.Irq14.Raised - before);
    }

    [Theory]
    [InlineData(0x30, false, 1, 3)]
    [InlineData(0x34, true, 1, 3)]
    [InlineData(0xC5, false, 16, 250)]
    [InlineData(0x39, true, 16, 700)]
    public void PIO_writes_are_on_the_disk_when_the_last_interrupt_comes(int command, bool isExt, int multiple, int count)
    {
        SetMultiple(multiple);
        byte[] data = RandomNumberGenerator.GetBytes(count * 512);
        Address(isExt, 100, count);
        _board.Out(7, command);
        for (int done = 0; done < data.Length;)
        {
            Assert.Equal(IdeBoard.Drq, _board.Wait() & (IdeBoard.Drq | IdeBoard.Err));
            int block = Math.Min(multiple * 512, data.Length - done);
            _board.WriteData(data[done..(done + block)], single: done == 0);
            done += block;
        }

        Assert.Equal(0x50, _board.Wait());
        Assert.Equal(data, _disk.Content[(100 * 512)..((100 + count) * 512)]);
    }

    [Fact]
    public void A_count_of_0_is_256_sectors()
    {
        _board.Lba28(0, 0);
        _board.Out(7, 0x20);
        for (int i = 0; i < 256; i++)
        {
            Assert.Equal(IdeBoard.Drq, _board.Wait() & IdeBoard.Drq);
            Assert.Equal(_disk.Content[(i * 512)..((i + 1) * 512)], _board.ReadData(512));
        }

        Assert.Equal(0x50, _board.Wait());
    }

    [Fact]
    public void Cylinder_head_sector_addresses_work()
    {
        _board.Out(2, 1);
        _board.Out(3, 5);
        _board.Out(4, 1);
        _board.Out(5, 0);
        _board.Out(6, 0xA2);
        _board.Out(7, 0x20);
        Assert.Equal(IdeBoard.Drq, _board.Wait() & IdeBoard.Drq);
        int lba = (((1 * 16) + 2) * 63) + 4;
        Assert.Equal(_disk.Content[(lba * 512)..((lba + 1) * 512)], _board.ReadData(512));

        _board.Out(3, 0);
        _board.Out(7, 0x20);
        Assert.Equal(IdeBoard.Err, _board.Wait() & (IdeBoard.Err | IdeBoard.Drq));
    }

    [Fact]
    public void DMA_reads_scatter_and_DMA_writes_gather()
    {
        _board.SetPrds((0x10000, 1024), (0x20000, 512), (0x30002, 512));
        _board.Lba48(70, 4);
        _board.Out(7, 0x25);
        Assert.Equal(0x50, _board.RunDma(toMemory: true));
        Assert.Equal(4u, _board.InBusMaster(2) & 7);
        byte[] scattered = [.. Read(0x10000, 1024), .. Read(0x20000, 512), .. Read(0x30002, 512)];
        Assert.Equal(_disk.Content[(70 * 512)..(74 * 512)], scattered);

        _board.Lba28(500, 4);
        _board.Out(7, 0xCA);
        Assert.Equal(0x50, _board.RunDma(toMemory: false));
        Assert.Equal(scattered, _disk.Content[(500 * 512)..(504 * 512)]);
        Assert.Equal(2, _board.Irq14.Raised);
    }

    [Fact]
    public void A_DMA_read_tells_engines_that_code_changed()
    {
        uint generation = _board.Memory.TrackCode(0x10);
        _board.SetPrds((0x10000, 512));
        _board.Lba28(0, 1);
        _board.Out(7, 0xC8);
        _board.RunDma(toMemory: true);
        Assert.NotEqual(generation, _board.Memory.CodeGeneration(0x10));
    }

    [Fact]
    public void A_region_of_0_bytes_is_64_KiB()
    {
        _board.SetPrds((0x100000, 0), (0x200000, 0));
        _board.Lba48(0, 256);
        _board.Out(7, 0x25);
        Assert.Equal(0x50, _board.RunDma(toMemory: true));
        Assert.Equal(_disk.Content[..65536], Read(0x100000, 65536));
        Assert.Equal(_disk.Content[65536..131072], Read(0x200000, 65536));
    }

    [Theory]
    [InlineData(0xFEE00000u, 512, 1)]
    [InlineData(0x3FFF00u, 4096, 8)]
    [InlineData(0x10000u, 512, 2)]
    public void Bad_or_short_descriptors_abort_the_command(uint gpa, int bytes, int sectors)
    {
        _board.SetPrds((gpa, bytes));
        _board.Lba28(0, sectors);
        _board.Out(7, 0xC8);
        Assert.Equal(IdeBoard.Err, _board.RunDma(toMemory: true) & (IdeBoard.Err | IdeBoard.Drq | IdeBoard.Bsy));
        Assert.Equal(4, _board.In(1));
        Assert.Equal(2u, _board.InBusMaster(2) & 3);
    }

    [Fact]
    public void A_descriptor_table_without_end_or_outside_memory_is_given_up()
    {
        _board.OutBusMaster(4, 0xFFFF_0000, 4);
        _board.Lba28(0, 1);
        _board.Out(7, 0xC8);
        Assert.Equal(IdeBoard.Err, _board.RunDma(toMemory: true) & IdeBoard.Err);
    }

    [Theory]
    [InlineData(Sectors, 1)]
    [InlineData(Sectors - 1, 2)]
    [InlineData(0xFFFFFFF, 1)]
    public void Addresses_beyond_the_end_are_not_found(uint lba, int count)
    {
        foreach (int command in (int[])[0x20, 0x30, 0xC8, 0xCA, 0x40])
        {
            _board.Lba28(lba, count);
            _board.Out(7, command);
            Assert.Equal(IdeBoard.Err, _board.Wait() & (IdeBoard.Err | IdeBoard.Drq));
            Assert.Equal(0x10, _board.In(1));
        }
    }

    [Theory]
    [InlineData(DiskStatus.ReadError, 0x20)]
    [InlineData(DiskStatus.ReadError, 0xC8)]
    [InlineData(DiskStatus.WriteError, 0xCA)]
    public void Failures_of_the_host_are_medium_errors(DiskStatus fault, int command)
    {
        _disk.Fault = fault;
        _board.SetPrds((0x10000, 512));
        _board.Lba28(0, 1);
        _board.Out(7, command);
        byte status = command == 0x20 ? _board.Wait() : _board.RunDma(command == 0xC8);
        Assert.Equal((IdeBoard.Err, 0x40), (status & (IdeBoard.Err | IdeBoard.Drq), _board.In(1)));

        // And it works again.
        _disk.Fault = DiskStatus.Success;
        _board.Out(7, 0xE7);
        Assert.Equal((0x50, 1), (_board.Wait(), _disk.Flushes));
    }

    [Fact]
    public void A_failed_flush_is_an_error()
    {
        _disk.Fault = DiskStatus.WriteError;
        _board.Out(7, 0xEA);
        Assert.Equal(IdeBoard.Err, _board.Wait() & IdeBoard.Err);
    }

    [Fact]
    public void A_read_only_disk_aborts_writes()
    {
        using var board = new IdeBoard();
        board.Ide.AttachDisk(0, 0, new MemoryDisk(64, isReadOnly: true));
        board.Lba28(0, 1);
        board.Out(7, 0x30);
        Assert.Equal((IdeBoard.Err, 4), (board.Wait() & (IdeBoard.Err | IdeBoard.Drq), board.In(1)));
    }

    [Fact]
    public void A_write_waits_for_the_disk_without_holding_up_the_processor()
    {
        var gate = new TaskCompletionSource();
        _disk.Gate = gate.Task;
        _board.SetPrds((0x10000, 512));
        _board.Lba28(0, 1);
        _board.Out(7, 0xCA);
        _board.OutBusMaster(0, 1);
        Assert.Equal(IdeBoard.Bsy, _board.AlternateStatus() & IdeBoard.Bsy);
        Assert.Equal(0, _board.Irq14.Raised);
        gate.SetResult();
        Assert.Equal(0x50, _board.Wait());
        Assert.Equal(1, _board.Irq14.Raised);
    }

    [Fact]
    public void A_reset_during_a_transfer_is_over_when_the_transfer_is()
    {
        var gate = new TaskCompletionSource();
        _disk.Gate = gate.Task;
        _board.SetPrds((0x10000, 512));
        _board.Lba28(0, 1);
        _board.Out(7, 0xC8);
        _board.OutBusMaster(0, 9);
        _board.OutControl(4);
        _board.OutControl(0);
        Assert.Equal(IdeBoard.Bsy, _board.AlternateStatus() & IdeBoard.Bsy);
        _disk.Gate = null;
        gate.SetResult();
        Assert.Equal(0x50, _board.Wait());
        Assert.Equal(0, _board.Irq14.Raised);
        _board.Lba28(3, 1);
        _board.Out(7, 0x20);
        Assert.Equal(IdeBoard.Drq, _board.Wait() & IdeBoard.Drq);
        Assert.Equal(_disk.Content[1536..2048], _board.ReadData(512));
    }

    [Fact]
    public void A_disk_that_is_busy_ignores_DEVICE_RESET()
    {
        var gate = new TaskCompletionSource();
        _disk.Gate = gate.Task;
        _board.Lba28(0, 1);
        _board.Out(7, 0x20);
        _board.Out(7, 0x08);
        Assert.Equal(IdeBoard.Bsy, _board.AlternateStatus() & IdeBoard.Bsy);
        // Were it not busy now, a second transfer would start on top of the first.
        _board.Out(7, 0x20);
        gate.SetResult();
        Assert.Equal(IdeBoard.Drq, _board.Wait() & IdeBoard.Drq);
        Assert.Equal(_disk.Content[..512], _board.ReadData(512));
    }

    [Fact]
    public void Interrupts_wait_while_nIEN_is_set_and_go_with_a_read_of_status()
    {
        _board.OutControl(2);
        _board.Out(7, 0xE5);
        Assert.False(_board.Irq14.IsAsserted);
        Assert.Equal(0xFF, _board.In(2));
        _board.OutControl(0);
        Assert.True(_board.Irq14.IsAsserted);
        _board.AlternateStatus();
        Assert.True(_board.Irq14.IsAsserted);
        _board.In(7);
        Assert.False(_board.Irq14.IsAsserted);
    }

    [Fact]
    public void High_order_bytes_are_read_with_HOB()
    {
        _board.Lba48(0x123456789ABC, 0x1122);
        Assert.Equal((0x22, 0xBC, 0x9A, 0x78), (_board.In(2), _board.In(3), _board.In(4), _board.In(5)));
        _board.OutControl(0x80);
        Assert.Equal((0x11, 0x56, 0x34, 0x12), (_board.In(2), _board.In(3), _board.In(4), _board.In(5)));
        _board.Out(7, 0x27);
        Assert.Equal(0x50, _board.Wait());
        Assert.Equal(Sectors - 1, _board.In(3) | (_board.In(4) << 8));
    }

    [Fact]
    public void Absent_drives_and_channels_answer_nothing()
    {
        _board.Out(6, 0xB0);
        Assert.Equal(0, _board.In(7));
        _board.Out(7, 0xEC);
        Assert.Equal(0, _board.In(7));
        _board.Base = 0x170;
        Assert.Equal(0xFF, _board.In(7));
    }

    [Fact]
    public void Turning_the_write_cache_off_makes_every_write_flush()
    {
        _board.Out(1, 0x82);
        _board.Out(7, 0xEF);
        Assert.Equal((0x50, 1), (_board.Wait(), _disk.Flushes));
        _board.SetPrds((0x10000, 512));
        _board.Lba28(0, 1);
        _board.Out(7, 0xCA);
        Assert.Equal((0x50, 2), (_board.RunDma(toMemory: false), _disk.Flushes));
    }

    [Theory]
    [InlineData(0x00)]
    [InlineData(0x08)]
    [InlineData(0xA0)]
    [InlineData(0xA1)]
    [InlineData(0xB0)]
    [InlineData(0xFF)]
    public void Commands_that_are_not_offered_abort(int command)
    {
        _board.Out(7, command);
        Assert.Equal((IdeBoard.Err, 4), (_board.Wait() & (IdeBoard.Err | IdeBoard.Drq), _board.In(1)));
    }

    [Theory]
    [InlineData(0x10)]
    [InlineData(0x70)]
    [InlineData(0x91)]
    [InlineData(0xE0)]
    [InlineData(0xE1)]
    [InlineData(0xE2)]
    [InlineData(0xE3)]
    [InlineData(0xE6)]
    public void Commands_without_data_succeed(int command)
    {
        _board.Out(2, 63);
        _board.Out(6, 0xAF);
        _board.Out(7, command);
        Assert.Equal(0x50, _board.Wait());
    }

    [Fact]
    public void Random_register_accesses_neither_throw_nor_hang()
    {
        var random = new Random(1234);
        _board.Ide.AttachCdRom(0, 1, new Storage.Scsi.ScsiDvd(null));
        for (int i = 0; i < 100_000; i++)
        {
            int register = random.Next(0, 8);
            switch (random.Next(0, 8))
            {
                case 0:
                    _board.In(register);
                    break;
                case 1:
                    _board.OutControl(random.Next(0, 16) == 0 ? random.Next() : 0);
                    break;
                case 2:
                    _board.OutBusMaster(random.Next(0, 8), (uint)random.Next(0, 256));
                    break;
                case 3:
                    _board.ReadData(random.Next(1, 600) * 2);
                    break;
                case 4:
                    _board.WriteData(new byte[random.Next(1, 20) * 2]);
                    break;
                default:
                    _board.Out(register, random.Next(0, 256));
                    break;
            }
        }

        _board.OutControl(4);
        _board.OutControl(0);
        _board.Out(6, 0xA0);
        Assert.Equal(0x50, _board.Wait());
    }

    [Fact]
    public void Statistics_count_requests_bytes_and_interrupts()
    {
        _board.SetPrds((0x10000, 1024));
        _board.Lba28(0, 2);
        _board.Out(7, 0xC8);
        _board.RunDma(toMemory: true);
        Assert.Equal(1, _board.Statistics["storage.ata0.requests"].Value);
        Assert.Equal(1024, _board.Statistics["storage.ata0.read_bytes"].Value);
        Assert.Equal(1, _board.Statistics["storage.ata0.interrupts"].Value);
    }

    private static string Text(byte[] data, int word, int words)
    {
        byte[] text = new byte[words * 2];
        for (int i = 0; i < text.Length; i++)
        {
            text[i] = data[(word * 2) + (i ^ 1)];
        }

        return Encoding.ASCII.GetString(text);
    }

    private byte[] Read(ulong gpa, int bytes)
    {
        byte[] data = new byte[bytes];
        Assert.True(_board.Memory.TryRead(gpa, data));
        return data;
    }

    private void SetMultiple(int count)
    {
        _board.Out(2, count);
        _board.Out(7, 0xC6);
        Assert.Equal(0x50, _board.Wait());
    }

    private void Address(bool isExt, uint lba, int count)
    {
        if (isExt)
        {
            _board.Lba48(lba, count);
        }
        else
        {
            _board.Lba28(lba, count);
        }
    }
}

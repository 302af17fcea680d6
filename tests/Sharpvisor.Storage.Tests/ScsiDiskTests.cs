// The SCSI command set of a disk, command by command.
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.Storage.Scsi;
using Xunit;

namespace Sharpvisor.Storage.Tests;

public sealed class ScsiDiskTests : IDisposable
{
    private const int Blocks = 2048;
    private readonly TemporaryFile _file = new(Blocks * 512);
    private readonly IDisk _disk;
    private readonly Scsi _scsi;

    public ScsiDiskTests()
    {
        _disk = DiskImage.Open(_file.Path, readOnly: false);
        _scsi = new Scsi(new ScsiDisk(_disk));
    }

    public void Dispose()
    {
        _disk.Dispose();
        _file.Dispose();
    }

    [Fact]
    public async Task Inquiry_says_what_a_Hyper_V_disk_says()
    {
        byte[] data = await _scsi.In(255, 0x12, 0, 0, 0, 255, 0);
        Assert.Equal(96, data.Length);
        Assert.Equal(0, data[0]);
        Assert.Equal("Msft    Virtual Disk    1.0 ", Encoding.ASCII.GetString(data, 8, 28));
        Assert.Equal(36, (await _scsi.In(255, 0x12, 0, 0, 0, 36, 0)).Length);
        Assert.Equal(5, (await _scsi.In(5, 0x12, 0, 0, 0, 36, 0)).Length);
    }

    [Fact]
    public async Task Every_listed_VPD_page_exists_and_others_do_not()
    {
        byte[] list = await _scsi.In(255, 0x12, 1, 0, 0, 255, 0);
        foreach (byte page in list.AsSpan(4, list[3]).ToArray())
        {
            byte[] data = await _scsi.In(255, 0x12, 1, page, 0, 255, 0);
            Assert.Equal(page, data[1]);
            Assert.Equal(data.Length - 4, BinaryPrimitives.ReadUInt16BigEndian(data.AsSpan(2)));
        }

        await _scsi.In(255, 0x12, 1, 0x55, 0, 255, 0);
        Assert.Equal(0x52400, _scsi.Sense);
        await _scsi.In(255, 0x12, 0, 0x80, 0, 255, 0);
        Assert.Equal(0x52400, _scsi.Sense);
    }

    [Fact]
    public async Task The_identification_page_holds_an_NAA_name_of_Microsofts()
    {
        byte[] data = await _scsi.In(255, 0x12, 1, 0x83, 0, 255, 0);
        Assert.Equal("01030010" + "60022480", Convert.ToHexString(data, 4, 8));
        Assert.Equal("Msft    ", Encoding.ASCII.GetString(data, 28, 8));
    }

    [Fact]
    public async Task Capacity_is_the_last_block_and_says_thin()
    {
        byte[] ten = await _scsi.In(8, 0x25);
        Assert.Equal("000007FF00000200", Convert.ToHexString(ten));
        byte[] sixteen = await _scsi.In(32, 0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
        Assert.Equal("00000000000007FF00000200" + "0003C000", Convert.ToHexString(sixteen, 0, 16));
    }

    [Fact]
    public async Task All_sizes_of_read_and_write_reach_the_same_blocks()
    {
        byte[][] writes =
        [
            [0x0A, 0, 0, 5, 2, 0],
            [0x2A, 0, 0, 0, 0, 5, 0, 0, 2, 0],
            [0xAA, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0],
            [0x8A, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0],
            [0x8A, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0],
            [0x2E, 0, 0, 0, 0, 5, 0, 0, 2, 0],
        ];
        byte[][] reads =
        [
            [0x08, 0, 0, 5, 2, 0],
            [0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0],
            [0xA8, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0],
            [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0],
        ];
        foreach (byte[] write in writes)
        {
            byte[] content = RandomNumberGenerator.GetBytes(1024);
            await _scsi.Out(content, write);
            Assert.Equal((0, 1024), (_scsi.Sense, _scsi.Request.TransferredBytes));
            foreach (byte[] read in reads)
            {
                Assert.Equal(content, await _scsi.In(1024, read));
            }
        }
    }

    [Fact]
    public async Task A_six_byte_read_of_0_blocks_reads_256()
    {
        Assert.Equal(256 * 512, (await _scsi.In(256 * 512, 0x08, 0, 0, 0, 0, 0)).Length);
        Assert.Empty(await _scsi.In(512, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0));
        Assert.Equal(0, _scsi.Sense);
    }

    [Theory]
    [InlineData("280000000800000001")]
    [InlineData("28000000070100FFFF")]
    [InlineData("8800FFFFFFFFFFFFFFFF00000001")]
    [InlineData("8800FFFFFFFFFFFFFFFFFFFFFFFF")]
    [InlineData("2F0000000800000001")]
    [InlineData("350000000800000001")]
    [InlineData("9300000000000000080000000001")]
    [InlineData("2A0000000800000001")]
    [InlineData("2B00000008000000")]
    public async Task Ranges_beyond_the_end_give_LBA_out_of_range(string cdb)
    {
        await _scsi.In(512, Convert.FromHexString(cdb));
        Assert.Equal(0x52100, _scsi.Sense);
        Assert.Equal(0, _scsi.Request.TransferredBytes);
    }

    [Fact]
    public async Task A_buffer_smaller_than_the_transfer_is_refused()
    {
        await _scsi.In(511, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
        Assert.Equal(0x52400, _scsi.Sense);
    }

    [Fact]
    public async Task A_read_only_disk_says_so_and_refuses_every_change()
    {
        using var file = new TemporaryFile(8192);
        using IDisk disk = DiskImage.Open(file.Path, readOnly: true);
        var scsi = new Scsi(new ScsiDisk(disk));
        Assert.Equal(0x90, (await scsi.In(64, 0x1A, 0, 0x3F, 0, 64, 0))[2]);
        byte[][] changes =
        [
            [0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0],
            [0x0A, 0, 0, 0, 1, 0],
            [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
            [0x93, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
        ];
        foreach (byte[] cdb in changes)
        {
            await scsi.Out(new byte[512], cdb);
            Assert.Equal(0x72700, scsi.Sense);
        }

        byte[] provisioning = await scsi.In(64, 0x12, 1, 0xB2, 0, 64, 0);
        Assert.Equal(0, provisioning[5]);
    }

    [Fact]
    public async Task Unmap_zeroes_each_descriptor_or_nothing()
    {
        await _scsi.Out(RandomNumberGenerator.GetBytes(64 * 512), 0x2A, 0, 0, 0, 0, 0, 0, 0, 64, 0);
        byte[] list = new byte[8 + 32];
        list[1] = 38;
        list[3] = 32;
        Descriptor(list.AsSpan(8), 8, 8);
        Descriptor(list.AsSpan(24), Blocks, 1);
        await _scsi.Out(list, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0);
        Assert.Equal(0x52100, _scsi.Sense);
        byte[] before = await _scsi.In(64 * 512, 0x28, 0, 0, 0, 0, 0, 0, 0, 64, 0);
        Assert.True(before.AsSpan(8 * 512, 512).ContainsAnyExcept((byte)0));

        Descriptor(list.AsSpan(24), 32, 16);
        await _scsi.Out(list, 0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0);
        Assert.Equal(0, _scsi.Sense);
        byte[] after = await _scsi.In(64 * 512, 0x28, 0, 0, 0, 0, 0, 0, 0, 64, 0);
        Assert.False(after.AsSpan(8 * 512, 8 * 512).ContainsAnyExcept((byte)0));
        Assert.False(after.AsSpan(32 * 512, 16 * 512).ContainsAnyExcept((byte)0));
        Assert.Equal(before[..(8 * 512)], after[..(8 * 512)]);
    }

    [Theory]
    [InlineData(4, 0, 0x51A00)]
    [InlineData(8, 16, 0x51A00)]
    [InlineData(8, 0, 0)]
    [InlineData(8 + (300 * 16), 300 * 16, 0x52600)]
    public async Task Unmap_lists_are_checked(int listBytes, int descriptorBytes, int sense)
    {
        byte[] list = new byte[listBytes];
        BinaryPrimitives.WriteUInt16BigEndian(list.AsSpan(2), (ushort)descriptorBytes);
        await _scsi.Out(list, 0x42, 0, 0, 0, 0, 0, 0, (byte)(listBytes >> 8), (byte)listBytes, 0);
        Assert.Equal(sense, _scsi.Sense);
    }

    [Fact]
    public async Task Write_same_repeats_its_block_and_unmaps_zeros()
    {
        byte[] block = RandomNumberGenerator.GetBytes(512);
        await _scsi.Out(block, 0x41, 0, 0, 0, 0, 4, 0, 1, 44, 0);
        Assert.Equal(0, _scsi.Sense);
        byte[] data = await _scsi.In(302 * 512, 0x28, 0, 0, 0, 0, 3, 0, 1, 46, 0);
        Assert.False(data.AsSpan(0, 512).ContainsAnyExcept((byte)0));
        Assert.Equal(block, data[512..1024]);
        Assert.Equal(block, data[(300 * 512)..(301 * 512)]);
        Assert.False(data.AsSpan(301 * 512).ContainsAnyExcept((byte)0));

        await _scsi.Out(new byte[512], 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 1, 44, 0, 0);
        Assert.Equal(0, _scsi.Sense);
        data = await _scsi.In(302 * 512, 0x28, 0, 0, 0, 0, 3, 0, 1, 46, 0);
        Assert.False(data.AsSpan().ContainsAnyExcept((byte)0));
    }

    [Fact]
    public async Task The_write_cache_can_be_turned_off_and_back_by_reset()
    {
        byte[] page = (await _scsi.In(64, 0x1A, 8, 8, 0, 64, 0))[4..];
        Assert.Equal(4, page[2]);
        byte[] list = [0, 0, 0, 0, .. page];
        list[4 + 2] = 0;
        await _scsi.Out(list, 0x15, 0x10, 0, 0, (byte)list.Length, 0);
        Assert.Equal(0, _scsi.Sense);
        Assert.Equal(0, (await _scsi.In(64, 0x5A, 8, 8, 0, 0, 0, 0, 0, 64, 0))[8 + 2]);
        await _scsi.Out(new byte[512], 0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0);
        Assert.Equal(0, _scsi.Sense);
    }

    [Fact]
    public async Task Only_what_is_changeable_can_be_changed()
    {
        byte[] page = (await _scsi.In(64, 0x1A, 8, 0x0A, 0, 64, 0))[4..];
        byte[] list = [0, 0, 0, 0, .. page];
        await _scsi.Out(list, 0x15, 0x10, 0, 0, (byte)list.Length, 0);
        Assert.Equal(0, _scsi.Sense);
        list[4 + 3] ^= 0x80;
        await _scsi.Out(list, 0x15, 0x10, 0, 0, (byte)list.Length, 0);
        Assert.Equal(0x52600, _scsi.Sense);
    }

    [Fact]
    public async Task Verify_compares_with_the_initiators_data_when_asked_to()
    {
        byte[] data = RandomNumberGenerator.GetBytes(300 * 512);
        await _scsi.Out(data, 0x2A, 0, 0, 0, 0, 7, 0, 1, 44, 0);
        await _scsi.Out(data, 0x2F, 2, 0, 0, 0, 7, 0, 1, 44, 0);
        Assert.Equal(0, _scsi.Sense);
        data[^1] ^= 1;
        await _scsi.Out(data, 0x2F, 2, 0, 0, 0, 7, 0, 1, 44, 0);
        Assert.Equal(0xE1D00, _scsi.Sense);
        await _scsi.Out(data, 0x2F, 2, 0, 0, 0, 7, 0, 1, 45, 0);
        Assert.Equal(0x52400, _scsi.Sense);
        await _scsi.Out(data, 0x2F, 6, 0, 0, 0, 7, 0, 1, 44, 0);
        Assert.Equal(0x52400, _scsi.Sense);
    }

    [Theory]
    [InlineData("5E00000000000000FF")]
    [InlineData("5F0000000000000018")]
    [InlineData("A30C00000000000000FF")]
    [InlineData("9E12")]
    [InlineData("FF")]
    [InlineData("46")]
    public async Task Commands_that_are_not_offered_are_illegal(string cdb)
    {
        await _scsi.In(255, Convert.FromHexString(cdb));
        Assert.Equal(0x52000, _scsi.Sense);
    }

    [Fact]
    public async Task Simple_commands_succeed()
    {
        byte[][] cdbs = [[0x00], [0x1B, 0, 0, 0, 1], [0x35], [0x91], [0x1E], [0x1D, 4], [0x2F, 0, 0, 0, 0, 0, 0, 0, 8, 0]];
        foreach (byte[] cdb in cdbs)
        {
            await _scsi.In(0, cdb);
            Assert.Equal(0, _scsi.Sense);
        }

        Assert.Equal("0000000800000000" + "0000000000000000", Convert.ToHexString(await _scsi.In(64, 0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 64)));
        Assert.Equal(0x70, (await _scsi.In(18, 0x03, 0, 0, 0, 18))[0]);
        Assert.Equal(0x72, (await _scsi.In(18, 0x03, 1, 0, 0, 18))[0]);
    }

    [Fact]
    public async Task Random_commands_never_throw()
    {
        var random = new Random(20260);
        byte[] cdb = new byte[16];
        for (int i = 0; i < 20_000; i++)
        {
            random.NextBytes(cdb);
            if (i % 2 == 0)
            {
                // Plausible addresses reach further.
                Array.Clear(cdb, 2, 3);
            }

            await _scsi.In(random.Next(0, 3000), cdb);
            Assert.True(_scsi.Request.TransferredBytes <= _scsi.Data.Length);
        }
    }

    private static void Descriptor(Span<byte> descriptor, ulong lba, uint blocks)
    {
        BinaryPrimitives.WriteUInt64BigEndian(descriptor, lba);
        BinaryPrimitives.WriteUInt32BigEndian(descriptor[8..], blocks);
    }
}

// The MMC command set of the DVD drive.
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.Storage.Scsi;
using Xunit;

namespace Sharpvisor.Storage.Tests;

public sealed class ScsiDvdTests : IDisposable
{
    private readonly byte[] _content = RandomNumberGenerator.GetBytes(100 * 2048);
    private readonly TemporaryFile _file;
    private readonly IDisk _disk;
    private readonly ScsiDvd _dvd;
    private readonly Scsi _scsi;

    public ScsiDvdTests()
    {
        _file = new TemporaryFile(_content);
        _disk = DiskImage.OpenIso(_file.Path);
        _dvd = new ScsiDvd(_disk);
        _scsi = new Scsi(_dvd);
    }

    public void Dispose()
    {
        _disk.Dispose();
        _file.Dispose();
    }

    [Fact]
    public async Task Inquiry_says_what_a_Hyper_V_drive_says()
    {
        byte[] data = await _scsi.In(96, 0x12, 0, 0, 0, 96, 0);
        Assert.Equal((5, 0x80), (data[0], data[1]));
        Assert.Equal("Msft    Virtual DVD-ROM 1.0 ", Encoding.ASCII.GetString(data, 8, 28));
    }

    [Fact]
    public async Task Reads_are_in_blocks_of_2048_bytes()
    {
        Assert.Equal("0000006300000800", Convert.ToHexString(await _scsi.In(8, 0x25)));
        Assert.Equal(_content[4096..8192], await _scsi.In(4096, 0x28, 0, 0, 0, 0, 2, 0, 0, 2, 0));
        Assert.Equal(_content[4096..8192], await _scsi.In(4096, 0xA8, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0));
        Assert.Equal(_content[4096..8192], await _scsi.In(4096, 0xBE, 0, 0, 0, 0, 2, 0, 0, 2, 0x10, 0));
        await _scsi.In(4096, 0x28, 0, 0, 0, 0, 99, 0, 0, 2, 0);
        Assert.Equal(0x52100, _scsi.Sense);
    }

    [Fact]
    public async Task The_table_of_contents_has_one_data_track()
    {
        Assert.Equal("00120101" + "0014010000000000" + "0014AA0000000064", Convert.ToHexString(await _scsi.In(64, 0x43, 0, 0, 0, 0, 0, 0, 0, 64, 0)));
        Assert.Equal("00120101" + "0014010000000200" + "0014AA0000000319", Convert.ToHexString(await _scsi.In(64, 0x43, 2, 0, 0, 0, 0, 0, 0, 64, 0)));
        Assert.Equal("000A0101" + "0014010000000000", Convert.ToHexString(await _scsi.In(64, 0x43, 0, 1, 0, 0, 0, 0, 0, 64, 0)));
        Assert.Equal(48, (await _scsi.In(64, 0x43, 0, 2, 0, 0, 0, 0, 0, 64, 0)).Length);
        await _scsi.In(64, 0x43, 0, 0, 0, 0, 0, 7, 0, 64, 0);
        Assert.Equal(0x52400, _scsi.Sense);
    }

    [Fact]
    public async Task The_configuration_lists_its_features_and_its_length()
    {
        byte[] data = await _scsi.In(255, 0x46, 0, 0, 0, 0, 0, 0, 0, 255, 0);
        Assert.Equal(data.Length - 4, BinaryPrimitives.ReadInt32BigEndian(data));
        Assert.Equal(8, BinaryPrimitives.ReadUInt16BigEndian(data.AsSpan(6)));
        int at = 8;
        while (at < data.Length)
        {
            at += 4 + data[at + 3];
        }

        Assert.Equal(data.Length, at);
    }

    [Fact]
    public async Task Mode_page_2A_is_there_for_sr()
    {
        byte[] data = await _scsi.In(128, 0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 128, 0);
        Assert.Equal((28, 0x2A), (BinaryPrimitives.ReadUInt16BigEndian(data), data[8]));
        await _scsi.In(128, 0x1A, 0, 0x2A, 0, 128, 0);
        Assert.Equal(0, _scsi.Sense);
        await _scsi.In(128, 0x5A, 0, 0x0E, 0, 0, 0, 0, 0, 128, 0);
        Assert.Equal(0x52400, _scsi.Sense);
    }

    [Fact]
    public async Task An_empty_drive_is_not_ready_and_a_new_medium_is_announced()
    {
        Assert.Same(_disk, _dvd.Insert(null));
        await _scsi.In(0, 0x00);
        Assert.Equal(0x23A00, _scsi.Sense);
        await _scsi.In(2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
        Assert.Equal(0x23A00, _scsi.Sense);
        Assert.Equal("00060410" + "03000000", Convert.ToHexString(await _scsi.In(8, 0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8, 0)));

        _dvd.Insert(_disk);
        Assert.Equal("00060410" + "02020000", Convert.ToHexString(await _scsi.In(8, 0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8, 0)));
        await _scsi.In(0, 0x00);
        Assert.Equal(0x62800, _scsi.Sense);
        await _scsi.In(0, 0x00);
        Assert.Equal(0, _scsi.Sense);
    }

    [Theory]
    [InlineData("2F00FFFFFFF0000001")]
    [InlineData("AF00FFFFFFF000000001")]
    [InlineData("2B00FFFFFFF0")]
    public async Task Commands_without_data_check_their_range_too(string cdb)
    {
        await _scsi.In(0, Convert.FromHexString(cdb));
        Assert.Equal(0x52100, _scsi.Sense);
    }

    [Fact]
    public async Task A_guest_can_lock_and_eject()
    {
        await _scsi.In(0, 0x1E, 0, 0, 0, 1);
        await _scsi.In(0, 0x1B, 0, 0, 0, 2);
        Assert.Equal(0x55302, _scsi.Sense);
        await _scsi.In(0, 0x1E, 0, 0, 0, 0);
        await _scsi.In(0, 0x1B, 0, 0, 0, 2);
        Assert.Equal(0, _scsi.Sense);
        await _scsi.In(0, 0x00);
        Assert.Equal(0x23A00, _scsi.Sense);
    }

    [Fact]
    public async Task Random_commands_never_throw()
    {
        var random = new Random(4711);
        byte[] cdb = new byte[16];
        for (int i = 0; i < 20_000; i++)
        {
            random.NextBytes(cdb);
            await _scsi.In(random.Next(0, 3000), cdb);
            Assert.True(_scsi.Request.TransferredBytes <= _scsi.Data.Length);
        }
    }
}

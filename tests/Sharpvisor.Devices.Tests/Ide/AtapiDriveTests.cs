// The ATAPI drive: signature, packets by PIO and DMA, sense data.
using System.Security.Cryptography;
using Sharpvisor.Core;
using Sharpvisor.Storage;
using Sharpvisor.Storage.Scsi;
using Xunit;

namespace Sharpvisor.Devices.Tests.Ide;

public sealed class AtapiDriveTests : IDisposable
{
    private readonly IdeBoard _board = new() { Base = 0x170 };
    private readonly string _path = Path.Combine(Path.GetTempPath(), $"sv-{Guid.NewGuid():N}.iso");
    private readonly byte[] _content = RandomNumberGenerator.GetBytes(200 * 2048);
    private readonly IDisk _iso;

    public AtapiDriveTests()
    {
        File.WriteAllBytes(_path, _content);
        _iso = DiskImage.OpenIso(_path);
        _board.Ide.AttachCdRom(1, 0, new ScsiDvd(_iso));
        _board.Out(6, 0xA0);
    }

    public void Dispose()
    {
        _iso.Dispose();
        File.Delete(_path);
        _board.Dispose();
    }

    [Fact]
    public void Reset_and_IDENTIFY_DEVICE_leave_the_packet_signature()
    {
        _board.OutControl(4);
        _board.OutControl(0);
        Assert.Equal((0x14, 0xEB), (_board.In(4), _board.In(5)));
        _board.Out(4, 0);
        _board.Out(7, 0xEC);
        Assert.Equal(IdeBoard.Err, _board.Wait() & IdeBoard.Err);
        Assert.Equal((0x14, 0xEB), (_board.In(4), _board.In(5)));
    }

    [Fact]
    public void IDENTIFY_PACKET_DEVICE_describes_a_CD_ROM()
    {
        _board.Out(7, 0xA1);
        Assert.Equal(IdeBoard.Drq, _board.Wait() & IdeBoard.Drq);
        byte[] data = _board.ReadData(512);
        Assert.Equal((0xC0, 0x85), (data[0], data[1]));
        Assert.Equal(0, data.Aggregate((byte)0, (sum, b) => (byte)(sum + b)));
    }

    [Theory]
    [InlineData(1, 2048)]
    [InlineData(30, 0xF800)]
    [InlineData(30, 4096)]
    [InlineData(150, 0xFFFF)]
    [InlineData(5, 1000)]
    public void Reads_by_PIO_come_in_pieces_of_the_byte_limit(int blocks, int limit)
    {
        SendPacket(limit, dma: false, 0x28, 0, 0, 0, 0, 7, 0, 0, (byte)blocks);
        var data = new List<byte>();
        while (true)
        {
            byte status = _board.Wait();
            Assert.Equal(0, status & IdeBoard.Err);
            if ((status & IdeBoard.Drq) == 0)
            {
                break;
            }

            Assert.Equal(2, _board.In(2) & 3);
            int bytes = _board.In(4) | (_board.In(5) << 8);
            Assert.InRange(bytes, 1, limit);
            data.AddRange(_board.ReadData(bytes));
        }

        Assert.Equal(3, _board.In(2) & 3);
        Assert.Equal(_content[(7 * 2048)..((7 + blocks) * 2048)], data);
    }

    [Fact]
    public void Reads_by_DMA_go_straight_to_memory()
    {
        _board.SetPrds((0x10000, 4096), (0x20000, 8192));
        SendPacket(0, dma: true, 0x28, 0, 0, 0, 0, 9, 0, 0, 6);
        Assert.Equal(0x50, _board.RunDma(toMemory: true));
        byte[] data = new byte[12288];
        Assert.True(_board.Memory.TryRead(0x10000, data.AsSpan(0, 4096)));
        Assert.True(_board.Memory.TryRead(0x20000, data.AsSpan(4096)));
        Assert.Equal(_content[(9 * 2048)..(15 * 2048)], data);
        Assert.Equal(1, _board.Irq15.Raised);
        Assert.Equal(0, _board.Irq14.Raised);
    }

    [Fact]
    public void A_failed_packet_leaves_sense_data_to_ask_for()
    {
        SendPacket(2048, dma: false, 0x28, 0, 0, 0, 1, 0, 0, 0, 1);
        Assert.Equal(IdeBoard.Err, _board.Wait() & (IdeBoard.Err | IdeBoard.Drq));
        Assert.Equal(0x54, _board.In(1));
        SendPacket(18, dma: false, 0x03, 0, 0, 0, 18);
        Assert.Equal(IdeBoard.Drq, _board.Wait() & (IdeBoard.Err | IdeBoard.Drq));
        byte[] sense = _board.ReadData(18);
        Assert.Equal((5, 0x21), (sense[2], sense[12]));
        Assert.Equal(0x50, _board.Wait());
        SendPacket(18, dma: false, 0x03, 0, 0, 0, 18);
        _board.Wait();
        Assert.Equal(0, _board.ReadData(18)[2]);
    }

    [Fact]
    public void A_packet_without_data_completes_at_once()
    {
        SendPacket(0, dma: false, 0x00);
        Assert.Equal(0x50, _board.Wait());
        Assert.Equal(3, _board.In(2) & 3);
    }

    private void SendPacket(int limit, bool dma, params byte[] packet)
    {
        _board.Out(1, dma ? 1 : 0);
        _board.Out(4, limit);
        _board.Out(5, limit >> 8);
        _board.Out(7, 0xA0);
        Assert.Equal(IdeBoard.Drq, _board.Wait() & (IdeBoard.Drq | IdeBoard.Err));
        Assert.Equal(1, _board.In(2) & 3);
        byte[] bytes = new byte[12];
        packet.CopyTo(bytes, 0);
        _board.WriteData(bytes, single: true);
    }
}

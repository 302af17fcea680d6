// A driver that writes garbage into task files, bus master registers and PRD tables. Nothing throws or hangs, nothing outside of
// guest memory is touched, and after a reset both drives work.
using System.Security.Cryptography;
using Sharpvisor.Core;
using Sharpvisor.Storage;
using Sharpvisor.Storage.Scsi;
using Xunit;

namespace Sharpvisor.Devices.Tests.Ide;

public sealed class IdeFuzzTests : IDisposable
{
    private static readonly byte[] s_commands =
    [
        0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0xC4, 0xC5, 0xC6, 0xC8, 0xCA, 0xEC, 0xA1, 0xA0, 0xA0, 0xA0, 0xEF, 0xE7, 0xEA,
        0xF8, 0x27, 0xB0, 0x06, 0x08, 0x90, 0x91, 0x40, 0x42, 0xE0, 0xE5, 0x10, 0x70, 0x2F, 0x3F,
    ];

    private readonly IdeBoard _board = new();
    private readonly string _path = Path.Combine(Path.GetTempPath(), $"sv-{Guid.NewGuid():N}.iso");
    private readonly MemoryDisk _disk = new(8192);
    private readonly IDisk _iso;

    public IdeFuzzTests()
    {
        File.WriteAllBytes(_path, RandomNumberGenerator.GetBytes(200 * 2048));
        _iso = DiskImage.OpenIso(_path);
        _board.Ide.AttachDisk(0, 0, _disk);
        _board.Ide.AttachDisk(0, 1, new MemoryDisk(2048, isReadOnly: true));
        _board.Ide.AttachCdRom(1, 0, new ScsiDvd(_iso));
    }

    public void Dispose()
    {
        _iso.Dispose();
        File.Delete(_path);
        _board.Dispose();
    }

    [Theory]
    [InlineData(41)]
    [InlineData(42)]
    [InlineData(43)]
    public void Random_registers_and_PRD_tables_never_upset_the_controller(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 6000; i++)
        {
            _board.Base = (ushort)(random.Next(2) == 0 ? 0x1F0 : 0x170);
            Disturb(random);
        }

        foreach (ushort channel in (ushort[])[0x1F0, 0x170])
        {
            _board.Base = channel;
            _board.OutBusMaster(0, 0);
            _board.OutControl(4);
            _board.OutControl(2);
            _board.Wait();
        }

        _board.OutControl(0);
        _board.Out(6, 0xA0);
        _board.Out(7, 0xA1);
        Assert.Equal(IdeBoard.Drq, _board.Wait() & IdeBoard.Drq);
        _board.Base = 0x1F0;
        _board.OutControl(0);
        byte[] sectors = RandomNumberGenerator.GetBytes(8 * 512);
        Assert.True(_board.Memory.TryWrite(0x10_0000, sectors));
        _board.SetPrds((0x10_0000, sectors.Length));
        _board.Lba28(100, 8);
        _board.Out(7, 0xCA);
        Assert.Equal(0, _board.RunDma(toMemory: false) & IdeBoard.Err);
        Assert.Equal(sectors, _disk.Content[(100 * 512)..(108 * 512)]);
    }

    private void Disturb(Random random)
    {
        switch (random.Next(8))
        {
            case 0:
                _board.Out(random.Next(1, 8), random.Next(256));
                break;
            case 1:
                _board.In(random.Next(0, 8));
                break;
            case 2:
                _board.OutBusMaster(random.Next(8), (uint)random.NextInt64(), 1 << random.Next(3));
                break;
            case 3:
                _board.OutControl(random.Next(8));
                break;
            case 4:
                byte[] data = new byte[random.Next(1, 600) * 2];
                random.NextBytes(data);
                _board.WriteData(data, random.Next(2) == 0);
                break;
            case 5:
                _board.ReadData(random.Next(1, 600) * 2, random.Next(2) == 0);
                break;
            default:
                Command(random);
                break;
        }
    }

    private void Command(Random random)
    {
        var regions = new (uint Gpa, int Bytes)[random.Next(1, 9)];
        for (int i = 0; i < regions.Length; i++)
        {
            regions[i] = (random.Next(8) == 0 ? (uint)random.NextInt64() : (uint)random.Next(0x1_0000, 0x20_0000) & ~1u, random.Next(0x10000));
        }

        _board.SetPrds(regions);
        if (random.Next(8) == 0)
        {
            _board.OutBusMaster(4, (uint)random.NextInt64(), 4);
        }

        _board.Lba28((uint)random.Next(random.Next(8) == 0 ? 1 << 28 : 8192), random.Next(256));
        _board.Out(6, 0xE0 | (random.Next(2) << 4));
        _board.Out(1, random.Next(256));
        _board.Out(7, random.Next(12) == 0 ? random.Next(256) : s_commands[random.Next(s_commands.Length)]);
        _board.OutBusMaster(0, (uint)(random.Next(2) == 0 ? 9 : 1));
        if (random.Next(3) == 0)
        {
            _board.Wait();
        }
    }
}

// The storage VSP against the C# VSC: negotiation, SRBs, several LUNs, hot add and remove, subchannels, close with I/O under way,
// and guests that write nonsense.
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.Storage.Scsi;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Storage;
using Sharpvisor.Vsp.Storage;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

public sealed class StorVspTests
{
    private static readonly (byte Path, byte Target, byte Lun) s_lun0 = StorBus.Lun0;

    [Fact]
    public void A_SCSI_controller_is_offered_with_its_interface()
    {
        using StorBus bus = StorBus.WithDisk(64, out _);
        Assert.Equal(new Guid("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f"), bus.Offer.InterfaceId);
    }

    [Theory]
    [InlineData(0, 0, "00000000-0000-8899-0000-000000000000")]
    [InlineData(0, 1, "00000000-0001-8899-0000-000000000000")]
    [InlineData(1, 0, "00000001-0000-8899-0000-000000000000")]
    public void An_accelerated_IDE_disk_is_offered_as_Hyper_V_does(int channel, int drive, string instance)
    {
        using var bus = new StorBus(s => StorVsp.CreateIde(channel, drive, new FakeTarget(), s));
        Assert.Equal(new Guid("32412632-86cb-44a2-9b5c-50d1417354f5"), bus.Offer.InterfaceId);
        Assert.Equal(new Guid(instance), bus.Offer.InstanceId);
        UserData120 data = bus.Offer.UserData;
        ReadOnlySpan<byte> user = data;
        Assert.Equal((channel, drive, 2), (user[2], user[3], user[8]));
        // storvsc_probe: bytes 4 and 5 of the instance are the target; the path is always 0.
        StorVsc vsc = bus.Open();
        Assert.True(vsc.Execute((0, (byte)drive, 0), [0x00], false, [], 0).IsGood);
        Assert.Equal(0x20, vsc.Execute((0, (byte)drive, 1), [0x00], false, [], 0).SrbStatus);
    }

    [Fact]
    public void The_newest_version_is_agreed_and_limits_are_told()
    {
        using StorBus bus = StorBus.WithDisk(64, out _);
        StorVsc vsc = bus.Open();
        Assert.Equal((0x0602, 3, (uint)StorVsp.MaxTransferBytes), (vsc.Version, vsc.MaxSubchannels, vsc.MaxTransferBytes));
    }

    [Fact]
    public void An_unknown_version_is_refused_and_an_older_one_taken()
    {
        using StorBus bus = StorBus.WithDisk(64, out _);
        StorVsc vsc = bus.OpenOnly();
        Assert.True(vsc.Initialize(0x0702, 0x0000, 0x0501));
        Assert.Equal(0x0501, vsc.Version);
    }

    [Fact]
    public void Steps_out_of_order_are_refused()
    {
        using StorBus bus = StorBus.WithDisk(64, out _);
        StorVsc vsc = bus.OpenOnly();
        Assert.NotEqual(0u, vsc.Control(StorVsc.QueryProperties, default, out _));
        Assert.NotEqual(0u, vsc.Control(StorVsc.EndInitialization, default, out _));
        Assert.Equal(6, vsc.Execute(s_lun0, [0x00], false, [], 0).SrbStatus);
        Assert.True(vsc.Initialize());
        Assert.NotEqual(0u, vsc.Control(99, default, out _));
        Assert.Equal(0u, vsc.Control(StorVsc.ResetBus, default, out _));
    }

    [Fact]
    public void Reads_land_in_scattered_pages_at_any_offset()
    {
        using StorBus bus = StorBus.WithDisk(4096, out byte[] content);
        StorVsc vsc = bus.Open();
        ulong[] pfns = bus.Client.AllocatePages(18, scattered: true);
        SrbResult result = vsc.Execute(s_lun0, Read10(100, 128), true, pfns, 65536, 512 + 1536);
        Assert.True(result.IsGood);
        Assert.Equal(65536u, result.Transferred);
        Assert.Equal(content[(100 * 512)..(228 * 512)], bus.ReadPages(pfns, 65536, 2048));
    }

    [Fact]
    public void Writes_gather_and_are_on_the_disk()
    {
        using StorBus bus = StorBus.WithDisk(4096, out _);
        StorVsc vsc = bus.Open();
        ulong[] pfns = bus.Client.AllocatePages(256, scattered: true);
        byte[] data = RandomNumberGenerator.GetBytes(1 << 20);
        bus.WritePages(pfns, data);
        Assert.True(vsc.Execute(s_lun0, Write10(2048, 2048), false, pfns, 1 << 20).IsGood);
        ulong[] back = bus.Client.AllocatePages(256);
        Assert.True(vsc.Execute(s_lun0, Read10(2048, 2048), true, back, 1 << 20).IsGood);
        Assert.Equal(data, bus.ReadPages(back, 1 << 20));
        Assert.Equal(1 << 20, bus.Statistics["storage.scsi0.written_bytes"].Value);
        Assert.Equal(1 << 20, bus.Statistics["storage.scsi0.read_bytes"].Value);
    }

    [Fact]
    public void A_read_tells_engines_that_code_changed()
    {
        using StorBus bus = StorBus.WithDisk(64, out _);
        StorVsc vsc = bus.Open();
        ulong[] pfns = bus.Client.AllocatePages(1);
        uint generation = bus.Memory.TrackCode(pfns[0]);
        Assert.True(vsc.Execute(s_lun0, Read10(0, 8), true, pfns, 4096).IsGood);
        Assert.NotEqual(generation, bus.Memory.CodeGeneration(pfns[0]));
    }

    [Fact]
    public void Errors_carry_sense_data()
    {
        using StorBus bus = StorBus.WithDisk(64, out _);
        StorVsc vsc = bus.Open();
        ulong[] pfns = bus.Client.AllocatePages(1);
        SrbResult result = vsc.Execute(s_lun0, Read10(64, 1), true, pfns, 512);
        Assert.Equal((0x84, 2, 0x52100, 0u), (result.SrbStatus, result.ScsiStatus, result.SenseCode, result.Transferred));
    }

    [Fact]
    public void A_read_only_disk_refuses_writes()
    {
        using StorBus bus = StorBus.WithDisk(64, out _, readOnly: true);
        StorVsc vsc = bus.Open();
        Assert.Equal(0x72700, vsc.Execute(s_lun0, Write10(0, 1), false, bus.Client.AllocatePages(1), 512).SenseCode);
    }

    [Fact]
    public void Short_answers_say_how_short()
    {
        using StorBus bus = StorBus.WithDisk(64, out _);
        StorVsc vsc = bus.Open();
        ulong[] pfns = bus.Client.AllocatePages(1);
        SrbResult result = vsc.Execute(s_lun0, [0x12, 0, 0, 0, 255, 0], true, pfns, 255);
        Assert.True(result.IsGood);
        Assert.Equal(96u, result.Transferred);
        Assert.Equal("Msft    Virtual Disk", Encoding.ASCII.GetString(bus.ReadPages(pfns, 96), 8, 20));
    }

    [Fact]
    public void What_is_not_there_is_not_mistaken_for_a_disk()
    {
        using StorBus bus = StorBus.WithDisk(64, out _);
        StorVsc vsc = bus.Open();
        ulong[] pfns = bus.Client.AllocatePages(1);
        foreach ((byte, byte, byte) address in ((byte, byte, byte)[])[(0, 0, 1), (0, 1, 0), (3, 0, 0), (0, 0, 200)])
        {
            Assert.True(vsc.Execute(address, [0x12, 0, 0, 0, 36, 0], true, pfns, 36).IsGood);
            Assert.Equal(0x7F, bus.ReadPages(pfns, 36)[0]);
            Assert.Equal(0x52400, vsc.Execute(address, [0x12, 1, 0x83, 0, 36, 0], true, pfns, 36).SenseCode);
            Assert.Equal(0x20, vsc.Execute(address, [0x00], false, [], 0).SrbStatus);
            Assert.Equal(0x20, vsc.Execute(address, Read10(0, 1), true, pfns, 512).SrbStatus);
        }
    }

    [Fact]
    public void REPORT_LUNS_follows_hot_add_and_remove()
    {
        using StorBus bus = StorBus.WithDisk(64, out _);
        StorVsc vsc = bus.Open();
        Assert.Equal([0], Luns(bus, vsc, s_lun0));

        Assert.True(bus.Vsp.TryAdd(5, new ScsiDisk(bus.CreateDisk(new byte[8192]))));
        Assert.False(bus.Vsp.TryAdd(5, new FakeTarget()));
        Assert.False(bus.Vsp.TryAdd(64, new FakeTarget()));
        vsc.WaitForBusChange();
        Assert.Equal([0, 5], Luns(bus, vsc, s_lun0));
        Assert.Empty(Luns(bus, vsc, (0, 1, 0)));
        Assert.True(vsc.Execute((0, 0, 5), [0x00], false, [], 0).IsGood);

        Assert.NotNull(bus.Vsp.Remove(5));
        vsc.WaitForBusChange();
        Assert.Equal([0], Luns(bus, vsc, s_lun0));
        Assert.Equal(0x20, vsc.Execute((0, 0, 5), [0x00], false, [], 0).SrbStatus);
    }

    [Fact]
    public void A_DVD_drive_can_be_a_logical_unit()
    {
        using StorBus bus = StorBus.WithDisk(64, out _);
        Assert.True(bus.Vsp.TryAdd(1, new ScsiDvd(null)));
        StorVsc vsc = bus.Open();
        ulong[] pfns = bus.Client.AllocatePages(1);
        Assert.True(vsc.Execute((0, 0, 1), [0x12, 0, 0, 0, 36, 0], true, pfns, 36).IsGood);
        Assert.Equal(5, bus.ReadPages(pfns, 36)[0]);
        Assert.Equal(0x23A00, vsc.Execute((0, 0, 1), [0x00], false, [], 0).SenseCode);
    }

    [Fact]
    public void Buffers_outside_memory_or_too_small_are_refused()
    {
        using StorBus bus = StorBus.WithDisk(64, out _);
        StorVsc vsc = bus.Open();
        Assert.Equal(6, vsc.Execute(s_lun0, Read10(0, 8), true, [0xFFFF_FFFF_FFFF], 4096).SrbStatus);
        Assert.Equal(6, vsc.Execute(s_lun0, Read10(0, 8), true, [0xFEE00], 4096).SrbStatus);
        Assert.Equal(0x52400, vsc.Execute(s_lun0, Read10(0, 8), true, bus.Client.AllocatePages(1), 2048).SenseCode);
        Assert.True(vsc.Execute(s_lun0, [0x00], false, [], 0).IsGood);
    }

    [Fact]
    public void Many_requests_overlap_and_each_completes_once()
    {
        using StorBus bus = StorBus.WithDisk(4096, out byte[] content);
        StorVsc vsc = bus.Open(sendPages: 33, receivePages: 3);
        const int Count = 1000;
        ulong[] pfns = bus.Client.AllocatePages(64);
        var done = new HashSet<ulong>();
        for (int i = 0; i < Count || done.Count < Count;)
        {
            // Twice as many as the host keeps at once, and more answers than the small ring holds.
            if (i < Count && i - done.Count < 300 && vsc.TrySubmit((ulong)i + 1, s_lun0, Read10((uint)(i % 64) * 8, 8), true, [pfns[i % 64]], 4096))
            {
                i++;
                continue;
            }

            (ulong id, SrbResult result) = vsc.Receive();
            Assert.True(result.IsGood);
            Assert.True(done.Add(id));
        }

        Assert.Equal(content[..(64 * 4096)], bus.ReadPages(pfns, 64 * 4096));
        Assert.Equal(Count, bus.Statistics["storage.scsi0.requests"].Value);
    }

    [Fact]
    public void Subchannels_carry_requests_too()
    {
        using StorBus bus = StorBus.WithDisk(64, out byte[] content);
        StorVsc vsc = bus.Open();
        byte[] tooMany = [4, 0];
        Assert.NotEqual(0u, vsc.Control(StorVsc.CreateSubChannels, tooMany, out _));
        byte[] two = [2, 0];
        Assert.Equal(0u, vsc.Control(StorVsc.CreateSubChannels, two, out _));
        ulong[] pfns = bus.Client.AllocatePages(1);
        for (ushort i = 1; i <= 2; i++)
        {
            OfferChannelMessage offer = bus.Client.Expect<OfferChannelMessage>(ChannelMessageType.OfferChannel);
            Assert.Equal(i, offer.SubchannelIndex);
            GuestChannel? channel = bus.Client.Open(offer);
            Assert.NotNull(channel);
            Assert.True(new StorVsc(channel).Execute(s_lun0, Read10(8, 8), true, pfns, 4096).IsGood);
            Assert.Equal(content[4096..8192], bus.ReadPages(pfns, 4096));
        }
    }

    [Fact]
    public async Task A_close_waits_for_requests_under_way()
    {
        var target = new FakeTarget { Gate = new TaskCompletionSource() };
        using var bus = new StorBus(s => StorVsp.CreateScsi(0, 0, s));
        Assert.True(bus.Vsp.TryAdd(0, target));
        StorVsc vsc = bus.Open();
        Assert.True(vsc.TrySubmit(1, s_lun0, Read10(0, 1), true, bus.Client.AllocatePages(1), 512));
        Assert.True(target.Started.Wait(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken));
        Task close = Task.Run(() => bus.Client.Close(vsc.Channel), TestContext.Current.CancellationToken);
        Assert.False(close.IsCompleted);
        target.Gate.SetResult();
        await close;
    }

    [Fact]
    public void The_driver_can_be_loaded_again_and_again()
    {
        using StorBus bus = StorBus.WithDisk(64, out byte[] content);
        ulong[] pfns = bus.Client.AllocatePages(1);
        for (int i = 0; i < 10; i++)
        {
            StorVsc vsc = bus.Open(4, 4);
            Assert.True(vsc.Execute(s_lun0, Read10(0, 8), true, pfns, 4096).IsGood);
            Assert.Equal(content[..4096], bus.ReadPages(pfns, 4096));
            bus.Client.Close(vsc.Channel);
        }
    }

    [Fact]
    public void Random_packets_are_answered_or_ignored_and_the_device_lives()
    {
        using StorBus bus = StorBus.WithDisk(64, out byte[] content);
        StorVsc vsc = bus.Open(sendPages: 33, receivePages: 33);
        var random = new Random(31337);
        ulong[] pfns = bus.Client.AllocatePages(4);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] packet = new byte[random.Next(0, 96)];
            random.NextBytes(packet);
            if (packet.Length >= 4)
            {
                // Not BEGIN_INITIALIZATION: that would take the device out of service, rightly.
                uint operation = (uint)random.Next(0, 20);
                BinaryPrimitives.WriteUInt32LittleEndian(packet, operation == StorVsc.BeginInitialization ? 3 : operation);
            }

            if (packet.Length > 20)
            {
                // Reach the disk, but only to read.
                packet[17] = packet[18] = packet[19] = 0;
                if (packet.Length > 28)
                {
                    packet[28] = (byte)(random.Next(0, 2) == 0 ? 0x28 : random.Next(0, 0x20));
                }
            }

            ulong[] pages = random.Next(0, 4) == 0 ? [(ulong)random.NextInt64()] : [pfns[random.Next(0, 4)]];
            bool sent = random.Next(0, 2) == 0
                ? vsc.Channel.TrySendInBand((ulong)random.Next(0, 3), packet)
                : vsc.Channel.TrySendGpaDirect((ulong)i + 10, packet, (uint)random.Next(0, 4096), 0, pages);
            while (vsc.Channel.TryReceive() is not null)
            {
            }

            if (!sent)
            {
                vsc.Channel.WaitInterrupt(TimeSpan.FromMilliseconds(1));
            }
        }

        bus.Client.Close(vsc.Channel);
        StorVsc again = bus.Open();
        Assert.True(again.Execute(s_lun0, Read10(8, 8), true, [pfns[0]], 4096).IsGood);
        Assert.Equal(content[4096..8192], bus.ReadPages([pfns[0]], 4096));
    }

    private static byte[] Read10(uint lba, int blocks) => Cdb10(0x28, lba, blocks);

    private static byte[] Write10(uint lba, int blocks) => Cdb10(0x2A, lba, blocks);

    private static byte[] Cdb10(byte opcode, uint lba, int blocks)
    {
        byte[] cdb = new byte[10];
        cdb[0] = opcode;
        BinaryPrimitives.WriteUInt32BigEndian(cdb.AsSpan(2), lba);
        BinaryPrimitives.WriteUInt16BigEndian(cdb.AsSpan(7), (ushort)blocks);
        return cdb;
    }

    private static byte[] Luns(StorBus bus, StorVsc vsc, (byte, byte, byte) address)
    {
        ulong[] pfns = bus.Client.AllocatePages(1);
        SrbResult result = vsc.Execute(address, [0xA0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0], true, pfns, 4096);
        Assert.True(result.IsGood);
        byte[] data = bus.ReadPages(pfns, 4096);
        int length = BinaryPrimitives.ReadInt32BigEndian(data);
        Assert.Equal((uint)length + 8, result.Transferred);
        return [.. Enumerable.Range(1, length / 8).Select(i => data[(i * 8) + 1])];
    }

    /// <summary>Always good, when its gate lets it.</summary>
    private sealed class FakeTarget : IScsiTarget
    {
        public TaskCompletionSource? Gate { get; init; }

        public ManualResetEventSlim Started { get; } = new();

        public byte DeviceType => 0;

        public async ValueTask ExecuteAsync(ScsiRequest request)
        {
            Started.Set();
            if (Gate is not null)
            {
                await Gate.Task;
            }

            request.Succeed();
        }

        public void Reset()
        {
        }
    }
}

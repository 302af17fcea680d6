// A guest whose storage driver sends garbage: SRBs, CDBs and buffers at random. Nothing throws or hangs, each request is answered,
// and the next driver that opens the channel works.
using System.Buffers.Binary;
using Sharpvisor.Storage.Scsi;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Storage;
using Sharpvisor.Vsp.Storage;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

public sealed class StorFuzzTests
{
    private static readonly byte[] s_operations =
    [
        0x00, 0x03, 0x08, 0x0A, 0x12, 0x15, 0x1A, 0x1B, 0x1E, 0x25, 0x28, 0x2A, 0x2E, 0x2F, 0x35, 0x41, 0x42, 0x43, 0x46, 0x4A, 0x51,
        0x52, 0x55, 0x5A, 0x5E, 0x5F, 0x88, 0x8A, 0x8F, 0x91, 0x93, 0x9E, 0xA0, 0xA3, 0xA8, 0xAA, 0xAD, 0xBE,
    ];

    [Theory]
    [InlineData(31)]
    [InlineData(32)]
    [InlineData(33)]
    public void Random_requests_are_all_answered(int seed)
    {
        using var bus = new StorBus(s => StorVsp.CreateScsi(0, 3, s));
        Assert.True(bus.Vsp.TryAdd(0, new ScsiDisk(bus.CreateDisk(new byte[1 << 20]))));
        Assert.True(bus.Vsp.TryAdd(1, new ScsiDisk(bus.CreateDisk(new byte[1 << 20], readOnly: true))));
        var random = new Random(seed);
        StorVsc vsc = bus.Open();
        ulong[] buffer = bus.Client.AllocatePages(32);
        int answered = 0;
        for (int i = 0; i < 4000; i++)
        {
            byte[] packet = RandomPacket(random, out uint bytes);
            int pages = (int)Math.Min(((bytes + 4095) / 4096) + (uint)random.Next(2), 32);
            ulong transaction = 0x1000 + (ulong)i;
            bool isSent = pages == 0 || random.Next(10) == 0
                ? vsc.Channel.TrySendInBand(transaction, packet)
                : vsc.Channel.TrySendGpaDirect(transaction, packet, (uint)Math.Min(bytes, pages * 4096u), 0, Pages(random, buffer, pages));
            Assert.True(isSent);
            while (true)
            {
                GuestPacket answer = vsc.Channel.Receive(vsc.Timeout);
                if (answer.Descriptor.TransactionId == transaction)
                {
                    Assert.Equal(PacketType.Completion, answer.Descriptor.Type);
                    Assert.Equal(StorVsc.PacketBytes, answer.Payload.Length);
                    Assert.True(BinaryPrimitives.ReadUInt32LittleEndian(answer.Payload.AsSpan(24)) <= Math.Max(bytes, 4096));
                    answered++;
                    break;
                }
            }

            if (random.Next(200) == 0)
            {
                bus.Client.Close(vsc.Channel);
                vsc = bus.Open();
            }
        }

        Assert.Equal(4000, answered);
        bus.Client.Close(vsc.Channel);
        vsc = bus.Open();
        Assert.True(vsc.Execute(StorBus.Lun0, [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0], true, buffer, 4096).IsGood);
    }

    [Fact]
    public void Logical_units_that_come_and_go_under_load_end_what_was_under_way()
    {
        using var bus = new StorBus(s => StorVsp.CreateScsi(0, 0, s));
        StorVsc vsc = bus.Open();
        ulong[] buffer = bus.Client.AllocatePages(16);
        using var end = new CancellationTokenSource();
        var plugger = new Thread(() =>
        {
            while (!end.IsCancellationRequested)
            {
                // Its disk is gone as soon as the logical unit is: a request that still used it would fail the worker.
                using Core.IDisk disk = StorBus.OpenDisk(new byte[1 << 20]);
                Assert.True(bus.Vsp.TryAdd(0, new ScsiDisk(disk)));
                Thread.Sleep(1);
                Assert.NotNull(bus.Vsp.Remove(0));
            }
        });
        plugger.Start();
        int good = 0;
        int rounds = 0;
        for (; (rounds < 3000 || good == 0) && rounds < 100_000; rounds++)
        {
            good += vsc.Execute(StorBus.Lun0, [(byte)(rounds % 2 == 0 ? 0x28 : 0x2A), 0, 0, 0, 0, 0, 0, 0, 128, 0], rounds % 2 == 0, buffer, 65536).IsGood ? 1 : 0;
        }

        end.Cancel();
        plugger.Join();
        Assert.True(good > 0);
    }

    private static ulong[] Pages(Random random, ulong[] buffer, int count)
    {
        ulong[] pages = buffer[..count];
        if (random.Next(10) == 0)
        {
            // Not RAM.
            pages[random.Next(count)] = (ulong)random.NextInt64();
        }

        return pages;
    }

    private static byte[] RandomPacket(Random random, out uint bytes)
    {
        byte[] packet = new byte[StorVsc.PacketBytes];
        if (random.Next(4) == 0)
        {
            random.NextBytes(packet);
        }

        // Not CREATE_SUB_CHANNELS: the offers would need their own reader.
        uint operation = random.Next(8) == 0 ? (uint)random.Next(13) : 3;
        BinaryPrimitives.WriteUInt32LittleEndian(packet, operation);
        packet[17] = packet[18] = 0;
        packet[19] = (byte)random.Next(random.Next(20) == 0 ? 256 : 3);
        packet[20] = (byte)(random.Next(20) == 0 ? random.Next(256) : 16);
        packet[21] = (byte)(random.Next(20) == 0 ? random.Next(256) : 20);
        packet[22] = (byte)random.Next(3);
        for (int i = 28; i < 44; i++)
        {
            packet[i] = (byte)(random.Next(3) == 0 ? random.Next(random.Next(3) == 0 ? 256 : 16) : 0);
        }

        packet[28] = random.Next(12) == 0 ? (byte)random.Next(256) : s_operations[random.Next(s_operations.Length)];
        bytes = (uint)(random.Next(12) == 0 ? random.Next() : random.Next(0, 33) * 512 * random.Next(1, 8));
        BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(24), bytes);
        return packet;
    }
}

// A guest whose network driver sends garbage: NVSP and RNDIS messages, buffers, per-packet info and completions at random, while frames
// come in. Nothing throws or hangs, and the next driver that opens the channel works. SHARPVISOR_FUZZ_SECONDS and SHARPVISOR_FUZZ_SEED
// make it longer and different.
using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using Sharpvisor.Core;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Network;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

public sealed class NetFuzzTests
{
    private const int StepsAnOpen = 400;
    private static readonly uint[] s_nvspTypes = [1, 100, 101, 103, 104, 106, 107, 108, 125, 129, 131, 133, 135];
    private static readonly uint[] s_oids =
    [
        0x0001_0101, 0x0001_0106, 0x0001_010D, 0x0001_010E, 0x0001_010F, 0x0001_0114, 0x0001_0203, 0x0001_0204, 0x0001_021B, 0x0002_0101,
        0x0002_0216, 0x0101_0101, 0x0101_0102, 0xFC01_020C, 0xFC01_020D,
    ];

    [Theory]
    [InlineData(41)]
    [InlineData(42)]
    [InlineData(43)]
    [InlineData(44)]
    public void Random_messages_neither_break_the_card_nor_stop_the_next_driver(int seed)
    {
        int seconds = Setting("SHARPVISOR_FUZZ_SECONDS", 0);
        var time = Stopwatch.StartNew();
        seed += Setting("SHARPVISOR_FUZZ_SEED", 0);
        do
        {
            Run(seed);
            seed += 1000;
        }
        while (time.Elapsed.TotalSeconds < seconds);
    }

    private static void Run(int seed)
    {
        var random = new Random(seed);
        using var port = new CheckingPort { AcceptsLargeSegments = random.Next(2) == 0 };
        using var bus = new NetBus(port: port);
        using var end = new CancellationTokenSource();
        var network = new Thread(() => Inject(bus.Vsp, new Random(seed), end.Token));
        network.Start();
        for (int open = 0; open < 4; open++)
        {
            NetVsc vsc = bus.OpenOnly(8, 4);
            bool isStarted = (open == 0 || random.Next(4) != 0)
                && vsc.Initialize(random.Next(3) == 0 ? 0x40000u : 0x60001u, random.Next(3) == 0 ? 9000 : 1500, open == 0 ? 40 : random.Next(1, 40), random.Next(2, 10));
            if (isStarted && (open == 0 || random.Next(4) != 0))
            {
                vsc.SetFilter(random.Next(2) == 0 ? 0x20u : 0xD);
                // Frames come in while the rest happens.
                Assert.True(open != 0 || SpinWait.SpinUntil(() => bus.Statistics["network.nic0.rx_frames"].Value > 0, TimeSpan.FromSeconds(60)));
                if (random.Next(2) == 0)
                {
                    byte[] parameters = new byte[28];
                    parameters.AsSpan(4).Fill((byte)random.Next(1, 5));
                    vsc.Set(0xFC01_020C, parameters);
                }
            }

            var transactions = new List<ulong>();
            var pool = new PagePool(bus.Client.AllocatePages(4096));
            for (int step = 0; step < StepsAnOpen; step++)
            {
                Step(bus, vsc.Primary, random, pool, transactions);
            }

            bus.Client.Close(vsc.Primary);
            bus.Client.ResetPages();
        }

        end.Cancel();
        network.Join();
        Assert.Equal(0, bus.Statistics["vmbus.nic0.faults"].Value);
        Assert.Null(port.Fault);
        // The garbage gets somewhere.
        Assert.All(
            (string[])["tx_frames", "tx_packets", "tx_dropped"],
            c => Assert.True(bus.Statistics[$"network.nic0.{c}"].Value > 10, $"seed {seed}: {c}"));
        bus.Vsp.SetLink(true);
        NetVsc good = bus.Open();
        Assert.Equal(1u, good.Send(NetVsc.Packet(Frames.Tcp(99))));
        Assert.True(bus.Port.Card!.Receive(Frames.Tcp(99), default));
        Assert.Equal(Frames.Tcp(99), good.Receive().Data);
    }

    private static void Step(NetBus bus, GuestChannel channel, Random random, PagePool pool, List<ulong> transactions)
    {
        switch (random.Next(10))
        {
            case 0:
                Send(channel, random, Nvsp(bus, channel, random));
                break;
            case 1:
                NetVsc.Complete(channel, random.Next(3) == 0 || transactions.Count == 0 ? (ulong)random.Next(2000) : transactions[random.Next(transactions.Count)]);
                break;
            case 2:
                bus.Vsp.SetLink(random.Next(8) != 0);
                break;
            case 3:
                channel.Signal();
                break;
            case 4 or 5:
                SendMessage(bus, channel, random, pool, Control(random), random.Next(10) == 0 ? 0u : 1u);
                break;
            default:
                byte[] messages = [.. Enumerable.Range(0, random.Next(1, 5)).SelectMany(_ => Packet(random))];
                SendMessage(bus, channel, random, pool, messages, 0);
                break;
        }

        if (random.Next(3) == 0)
        {
            while (channel.TryReceive() is { } packet)
            {
                if (packet.Descriptor.Type == PacketType.DataUsingTransferPages && random.Next(5) != 0)
                {
                    NetVsc.Complete(channel, packet.Descriptor.TransactionId);
                }
                else
                {
                    transactions.Add(packet.Descriptor.TransactionId);
                }
            }
        }
    }

    private static void Send(GuestChannel channel, Random random, byte[] payload)
    {
        PacketFlags flags = random.Next(4) == 0 ? PacketFlags.None : PacketFlags.CompletionRequested;
        ulong transaction = (ulong)random.Next(1, 5000);
        UntilSent(channel, () => channel.TrySend(PacketType.DataInBand, flags, transaction, payload));
    }

    // The host waits for nobody but the reader of its ring: with one, a full ring always empties.
    private static void UntilSent(GuestChannel channel, Func<bool> send)
    {
        var time = Stopwatch.StartNew();
        while (!send())
        {
            Assert.True(time.Elapsed.TotalSeconds < 60, "the host does not empty its ring");
            while (channel.TryReceive() is not null)
            {
            }

            Thread.Sleep(1);
        }
    }

    private static byte[] Nvsp(NetBus bus, GuestChannel channel, Random random)
    {
        uint[] words = new uint[random.Next(1, 12)];
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = random.Next(4) switch { 0 => (uint)random.Next(), 1 => 0xCAFE, 2 => (uint)random.Next(0x10000), _ => (uint)random.Next(4) };
        }

        words[0] = random.Next(8) == 0 ? (uint)random.Next(200) : s_nvspTypes[random.Next(s_nvspTypes.Length)];
        // Not subchannels: the offers would need their own reader.
        words[0] = words[0] == 133 ? 134 : words[0];
        if (words[0] is 101 or 104 && words.Length > 1 && random.Next(2) == 0
            && bus.Client.CreateGpadl(channel.Offer.Relid, bus.Client.AllocatePages(random.Next(1, 12), scattered: true), out uint gpadl) == 0)
        {
            words[1] = gpadl;
        }

        return [.. words.SelectMany(BitConverter.GetBytes)];
    }

    private static void SendMessage(NetBus bus, GuestChannel channel, Random random, PagePool pool, byte[] message, uint channelType)
    {
        // The host reads it later: the memory is used again only after the pool has gone round.
        int count = ((message.Length + 4095) / 4096) + 1;
        int first = pool.Next + count > pool.Pages.Length ? 0 : pool.Next;
        pool.Next = first + count;
        ulong[] pages = pool.Pages[first..pool.Next];
        uint offset = (uint)random.Next(4096);
        byte[] content = new byte[pages.Length * 4096];
        message.CopyTo(content, offset);
        Assert.True(bus.Memory.TryWrite(pages[0] << 12, content));
        int used = (int)((offset + message.Length + 4095) / 4096);
        if (random.Next(40) == 0)
        {
            pages[random.Next(used)] = (ulong)random.NextInt64();
        }

        byte[] nvsp = new byte[16];
        BinaryPrimitives.WriteUInt32LittleEndian(nvsp, 107);
        BinaryPrimitives.WriteUInt32LittleEndian(nvsp.AsSpan(4), channelType);
        bool hasSection = random.Next(4) == 0;
        BinaryPrimitives.WriteUInt32LittleEndian(nvsp.AsSpan(8), hasSection ? (uint)random.Next(random.Next(10) == 0 ? int.MaxValue : 8) : NetVsc.NoSection);
        BinaryPrimitives.WriteUInt32LittleEndian(nvsp.AsSpan(12), hasSection ? (uint)random.Next(random.Next(10) == 0 ? int.MaxValue : 6200) : 0);
        ulong transaction = (ulong)random.Next(1, 5000);
        UntilSent(channel, () => channel.TrySendGpaDirect(transaction, nvsp, (uint)message.Length, offset, pages.AsSpan(0, used)));
    }

    private static byte[] Control(Random random)
    {
        byte[] body = new byte[20 + random.Next(200)];
        random.NextBytes(body.AsSpan(20));
        uint[] words = [(uint)random.Next(), s_oids[random.Next(s_oids.Length)], (uint)(body.Length - 20), 20, 0];
        for (int i = 0; i < words.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(i * 4), random.Next(25) == 0 ? Wild(random) : words[i]);
        }

        if (body.Length > 60 && random.Next(2) == 0)
        {
            // Headers and offsets that NDIS objects have.
            byte[] types = [0x80, 0x88, 0x89, 0xA7];
            body.AsSpan(20, 40).Clear();
            body[20] = types[random.Next(types.Length)];
            body[21] = (byte)random.Next(5);
            for (int i = 22; i < 60; i++)
            {
                body[i] = (byte)(random.Next(3) == 0 ? random.Next(64) : 0);
            }
        }

        return Message(random, random.Next(6) == 0 ? (uint)random.Next(12) : (uint)random.Next(4, 6), body);
    }

    private static byte[] Packet(Random random)
    {
        byte[] frame = random.Next(4) == 0 ? Frames.Plain(random.Next(14, 3000)) : Frames.Tcp(random.Next(0, random.Next(5) == 0 ? 50_000 : 1500), 99, (byte)(random.Next(4) == 0 ? 17 : 6));
        for (int i = random.Next(3) == 0 ? random.Next(10) : 0; i > 0 && frame.Length > 14; i--)
        {
            frame[random.Next(Math.Min(frame.Length, 80))] = (byte)random.Next(256);
        }

        var infos = new List<(uint, uint)>();
        for (int i = random.Next(4); i > 0; i--)
        {
            uint type = random.Next(8) == 0 ? Wild(random) : random.Next(4) switch { 0 => 0u, 1 => 2u, 2 => 6u, _ => 9u };
            infos.Add((type, random.Next(3) == 0 ? Wild(random) : type == 2 ? (uint)random.Next(1, 3000) | (34u << 20) | (1u << 30) : (uint)random.Next(64)));
        }

        byte[] message = NetVsc.Packet(frame, [.. infos]);
        for (int i = random.Next(4) == 0 ? random.Next(1, 4) : 0; i > 0; i--)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(random.Next(Math.Min(message.Length, 44 + (infos.Count * 16)) / 4) * 4), Wild(random));
        }

        return message;
    }

    private static byte[] Message(Random random, uint type, byte[] body)
    {
        byte[] message = new byte[8 + body.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, type);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), random.Next(25) == 0 ? Wild(random) : (uint)message.Length);
        body.CopyTo(message, 8);
        return message;
    }

    private static uint Wild(Random random) => random.Next(4) switch
    {
        0 => uint.MaxValue - (uint)random.Next(64),
        1 => (uint)random.Next(),
        2 => (uint)random.Next(64),
        _ => (uint)random.Next(0x1_0000),
    };

    // The network: frames of all kinds, with offloads that fit them and some that do not.
    private static void Inject(INetworkCard card, Random random, CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            byte[] frame = random.Next(3) == 0 ? Frames.Plain(random.Next(40, 4000))[random.Next(40)..] : Frames.Tcp(random.Next(0, 9000));
            FrameOffload offload = random.Next(4) switch
            {
                0 => new FrameOffload((ushort)random.Next(1, 3000), 34, 16),
                1 => new FrameOffload(0, 34, 16),
                2 => new FrameOffload((ushort)random.Next(4000), (ushort)random.Next(10_000), (ushort)random.Next(70)),
                _ => default,
            };
            if (!card.Receive(frame, offload, more: random.Next(2) == 0))
            {
                Thread.Yield();
            }
        }
    }

    private static int Setting(string name, int standard) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out int value) ? value : standard;

    private sealed class PagePool(ulong[] pages)
    {
        public ulong[] Pages => pages;

        public int Next { get; set; }
    }
}

// A guest whose integration drivers answer nonsense, to every integration service and the balloon at once, while the host asks them for
// things. Nothing throws or hangs, and the drivers that come after work. SHARPVISOR_FUZZ_SECONDS and SHARPVISOR_FUZZ_SEED make it longer
// and different.
using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Integration;
using Sharpvisor.Vsp.Balloon;
using Sharpvisor.Vsp.Integration;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

public sealed class IntegrationFuzzTests
{
    private const int Steps = 4000;
    private const int Connections = 3;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(51)]
    [InlineData(52)]
    public async Task Random_answers_neither_break_a_service_nor_stop_the_next_driver(int seed)
    {
        int seconds = Setting("SHARPVISOR_FUZZ_SECONDS", 0);
        var time = Stopwatch.StartNew();
        seed += Setting("SHARPVISOR_FUZZ_SEED", 0);
        do
        {
            await RunAsync(seed);
            seed += 1000;
        }
        while (time.Elapsed.TotalSeconds < seconds);
    }

    private static async Task RunAsync(int seed)
    {
        var random = new Random(seed);
        var trace = new FailureTrace();
        var synic = new LoopbackSynic();
        using var memory = new GuestMemory(128 << 20, 512 << 20);
        using var server = new VmbusServer(memory, synic, new Statistics(), trace);
        using var heartbeat = new HeartbeatVsp();
        using var shutdown = new ShutdownVsp();
        using var time = new TimeSyncVsp(() => 0);
        using var kvp = new KvpVsp();
        using var vss = new VssVsp();
        using var copy = new FileCopyVsp();
        using var balloon = new BalloonVsp(new Statistics());
        foreach (IVmbusDevice device in (IVmbusDevice[])[heartbeat, shutdown, time, kvp, vss, copy, balloon])
        {
            Assert.True(server.Offer(device));
        }

        using var end = new CancellationTokenSource();
        Task asking = Task.Run(() => AskAsync(new Random(seed), shutdown, kvp, vss, copy, balloon, end.Token), Cancellation);
        var client = new VmbusClient(memory, synic, 4 << 20, 32 << 20);
        for (int connection = 0; connection < Connections; connection++)
        {
            Assert.True(client.Connect());
            Fuzz(client, random);
            client.Unload();
        }

        end.Cancel();
        await asking.WaitAsync(TimeSpan.FromSeconds(60), Cancellation);
        Assert.True(client.Connect());
        OfferChannelMessage offer = client.RequestOffers().Single(o => o.InterfaceId == shutdown.Offer.InterfaceId);
        var guest = new IcVsc(client.Open(offer, 4, 4)!);
        Assert.True(guest.Negotiate((3, 2), (3, 1), (3, 0)));
        await shutdown.WaitUntilRunningAsync(Cancellation).WaitAsync(TimeSpan.FromSeconds(20), Cancellation);
        Task asked = shutdown.ShutdownAsync(cancellation: Cancellation);
        guest.Answer(guest.Receive());
        await asked;
        Assert.Empty(trace.Failures);
    }

    private static void Fuzz(VmbusClient client, Random random)
    {
        GuestChannel[] channels = [.. client.RequestOffers().Select(o => client.Open(o, 4, 4)!)];
        for (int step = 0; step < Steps; step++)
        {
            GuestChannel channel = channels[random.Next(channels.Length)];
            byte[]? received = channel.TryReceive()?.Payload;
            byte[] packet = random.Next(4) switch
            {
                0 => Noise(random),
                1 when received is not null => Mutated(received, random, random.Next(1, 6)),
                2 => Balloon(random),
                // As a driver that means well answers, so that the service comes further.
                _ when received is { Length: >= IcVsc.HeaderBytes } => Answer(received, random),
                _ => Noise(random),
            };
            var type = random.Next(50) == 0 ? (PacketType)random.Next(16) : PacketType.DataInBand;
            if (type is PacketType.DataInBand or PacketType.Completion or PacketType.CancelRequest)
            {
                _ = channel.TrySend(type, random.Next(10) == 0 ? PacketFlags.CompletionRequested : PacketFlags.None, (ulong)random.Next(3), packet);
            }
        }

        // Some are closed in order, the others by the unload.
        foreach (GuestChannel channel in channels.Where(_ => random.Next(2) == 0))
        {
            client.Close(channel);
        }
    }

    private static byte[] Noise(Random random)
    {
        byte[] packet = new byte[random.Next(0, 200)];
        random.NextBytes(packet);
        return packet;
    }

    private static byte[] Mutated(byte[] packet, Random random, int changes)
    {
        packet = [.. packet];
        for (int i = 0; i < changes && packet.Length > 0; i++)
        {
            packet[random.Next(Math.Min(packet.Length, random.Next(2) == 0 ? 64 : packet.Length))] = (byte)random.Next(256);
        }

        return packet;
    }

    private static byte[] Answer(byte[] packet, Random random)
    {
        packet = [.. packet];
        // Transaction and response; for a negotiation, one version of each kind.
        packet[25] = 5;
        if (BinaryPrimitives.ReadUInt16LittleEndian(packet.AsSpan(12)) == 0 && packet.Length >= 44)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(packet.AsSpan(28), 1);
            BinaryPrimitives.WriteUInt16LittleEndian(packet.AsSpan(30), 1);
        }

        return Mutated(packet, random, random.Next(3) == 0 ? 1 : 0);
    }

    private static byte[] Balloon(Random random)
    {
        byte[] packet = new byte[16 + (8 * random.Next(0, 40))];
        random.NextBytes(packet.AsSpan(8));
        ushort type = (ushort)random.Next(14);
        BinaryPrimitives.WriteUInt16LittleEndian(packet, type);
        BinaryPrimitives.WriteUInt16LittleEndian(packet.AsSpan(2), (ushort)(random.Next(5) == 0 ? random.Next(0x1_0000) : packet.Length));
        if (type == 1)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(8), 0x0002_0000);
            packet[12] = 0;
        }
        else if (type == 3)
        {
            packet[8] = 1 | 2 | (7 << 2);
        }
        else if (type == 7)
        {
            // Ranges that are memory, or nearly.
            BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(12), (uint)random.Next(90));
            for (int at = 16; at + 8 <= packet.Length; at += 8)
            {
                BinaryPrimitives.WriteUInt64LittleEndian(packet.AsSpan(at), 0x4000 + (ulong)random.Next(0x1_8000) + ((ulong)random.Next(600) << 40));
            }
        }

        return packet;
    }

    private static async Task AskAsync(
        Random random, ShutdownVsp shutdown, KvpVsp kvp, VssVsp vss, FileCopyVsp copy, BalloonVsp balloon, CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(end);
            patience.CancelAfter(random.Next(1, 20));
            try
            {
                await (random.Next(9) switch
                {
                    0 => shutdown.ShutdownAsync(cancellation: patience.Token),
                    1 => kvp.GetAsync(KvpPool.Auto, "OSName", patience.Token),
                    2 => kvp.SetAsync(KvpPool.External, "key", "value", patience.Token),
                    3 => kvp.GetIpInfoAsync("{00000000-0000-0000-0000-000000000000}", 1, patience.Token),
                    4 => vss.FreezeAsync(patience.Token),
                    5 => vss.ThawAsync(patience.Token),
                    6 => copy.CopyAsync(new MemoryStream(new byte[20_000]), "/tmp/file", cancellation: patience.Token),
                    7 => balloon.SetBalloonAsync((ulong)random.Next(64) << 20, patience.Token),
                    _ => balloon.SetMemoryAsync((ulong)random.Next(600) << 20, patience.Token),
                });
            }
            catch (Exception e) when (e is IntegrationException or OperationCanceledException)
            {
                // What a caller of these is told.
                await Task.Yield();
            }
        }
    }

    private static int Setting(string name, int standard) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out int value) ? value : standard;

    /// <summary>Keeps what a VSP's bug looks like.</summary>
    private sealed class FailureTrace : ITraceSink
    {
        private readonly List<string> _failures = [];

        public bool IsEnabled => false;

        public IReadOnlyList<string> Failures
        {
            get
            {
                lock (_failures)
                {
                    return [.. _failures];
                }
            }
        }

        public void Line(string text)
        {
            lock (_failures)
            {
                _failures.Add(text);
            }
        }
    }
}

// bench/vmbus: a channel between the C# VSC and a VSP in one process, without a CPU: what rings, packets and signals cost by themselves.
using System.Diagnostics;
using System.Globalization;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.Vsc;

namespace Sharpvisor.Bench;

internal static class VmbusBenchmark
{
    private const int LargeBytes = 64 << 10;
    private const int Rounds = 5;
    private static readonly TimeSpan s_round = TimeSpan.FromSeconds(0.4);
    private static readonly TimeSpan s_timeout = TimeSpan.FromSeconds(60);

    public static int Run()
    {
        Console.WriteLine($"median of {Rounds} rounds; allocations are the whole process's");
        Report("64-byte round trips, VSP on the signalling thread", onSignal: true, bytes: 64, depth: 1);
        Report("64-byte round trips, VSP on the thread pool", onSignal: false, bytes: 64, depth: 1);
        Report("64-byte messages, 64 under way", onSignal: false, bytes: 64, depth: 64);
        double here = Report("64 KiB to the VSP, on the signalling thread", onSignal: true, bytes: LargeBytes, depth: 1);
        double pool = Report("64 KiB to the VSP, 8 under way", onSignal: false, bytes: LargeBytes, depth: 8);
        double memcpy = Memcpy();
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"memcpy of 64 KiB: {memcpy / 1e9:0.00} GB/s; the channel moves {here * LargeBytes / memcpy:0.00} of that on the signalling thread, {pool * LargeBytes / memcpy:0.00} with 8 under way"));
        return 0;
    }

    private static double Report(string title, bool onSignal, int bytes, int depth)
    {
        using var memory = new GuestMemory(64 << 20);
        var synic = new LoopbackSynic();
        using var server = new VmbusServer(memory, synic, new Statistics());
        var client = new VmbusClient(memory, synic, 16 << 20, 40 << 20);
        server.Offer(new SinkVsp(onSignal));
        client.Connect();
        using GuestChannel channel = client.Open(client.RequestOffers()[0], sendPages: 257, receivePages: 17)
            ?? throw new InvalidOperationException("the channel does not open");
        byte[] payload = new byte[bytes];
        // Once around for the JIT and for buffers that grow.
        _ = Exchange(channel, payload, depth, s_round);
        var rates = new List<double>();
        long messages = 0;
        long before = GC.GetTotalAllocatedBytes(precise: true);
        for (int round = 0; round < Rounds; round++)
        {
            long start = Stopwatch.GetTimestamp();
            int exchanged = Exchange(channel, payload, depth, s_round);
            rates.Add(exchanged / Stopwatch.GetElapsedTime(start).TotalSeconds);
            messages += exchanged;
        }

        double allocated = (double)(GC.GetTotalAllocatedBytes(precise: true) - before) / messages;
        double rate = rates.Order().ElementAt(Rounds / 2);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{title,-52}{rate,10:0} messages/s {1e9 / rate,8:0} ns each {rate * bytes / 1e9,7:0.00} GB/s {allocated,8:0.000} bytes allocated each"));
        return rate;
    }

    /// <returns>Messages answered.</returns>
    private static int Exchange(GuestChannel channel, byte[] payload, int depth, TimeSpan time)
    {
        long start = Stopwatch.GetTimestamp();
        int sent = 0;
        int received = 0;
        bool more = true;
        while (more || received < sent)
        {
            more = more && Stopwatch.GetElapsedTime(start) < time;
            while (more && sent - received < depth && channel.TrySendInBand((ulong)sent + 1, payload))
            {
                sent++;
            }

            while (channel.TryReceive(out _) >= 0)
            {
                received++;
            }

            // The host interrupts when it writes to an empty ring, and this one has just been seen empty.
            if (received < sent && channel.Inbound.Unmask() && !channel.WaitInterrupt(s_timeout))
            {
                throw new TimeoutException("no answer from the VSP");
            }
        }

        return received;
    }

    private static double Memcpy()
    {
        byte[] from = new byte[LargeBytes];
        byte[] to = new byte[LargeBytes];
        var rates = new List<double>();
        for (int round = 0; round <= Rounds; round++)
        {
            const int Copies = 50_000;
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < Copies; i++)
            {
                from.AsSpan().CopyTo(to);
            }

            rates.Add(Copies * (double)LargeBytes / Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return rates.Skip(1).Order().ElementAt(Rounds / 2);
    }

    /// <summary>Takes packets and answers each with eight bytes.</summary>
    private sealed class SinkVsp(bool onSignal) : IVmbusDevice, IChannelHandler
    {
        public VmbusOffer Offer { get; } = new()
        {
            Name = "sink",
            InterfaceId = new Guid("2f5a0f2e-9a1c-4f0e-8f0d-0a8d5b6f3c11"),
            InstanceId = new Guid("8a1f6d0e-7b7e-4c52-9d4b-1b7c0e7f2a22"),
        };

        public bool RunsOnSignallingThread => onSignal;

        public IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData) => this;

        public bool OnPacket(VmbusChannel channel, in IncomingPacket packet) =>
            channel.TryWriteCompletion(packet.TransactionId, packet.Payload[..8]) != RingWriteStatus.Full;

        public void OnClosed(VmbusChannel channel)
        {
        }
    }
}

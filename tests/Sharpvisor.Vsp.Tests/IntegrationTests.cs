// The integration services against the C# guest end: negotiation, each service's messages, and guests that answer nonsense or late.
using System.Buffers.Binary;
using System.Text;
using Sharpvisor.Vsc.Integration;
using Sharpvisor.Vsp.Integration;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

public sealed class IntegrationTests
{
    private const byte TransactionAndRequest = 1 | 2;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_host_speaks_first_and_offers_every_version_hv_utils_knows()
    {
        using var bus = new IcBus<ShutdownVsp>(new ShutdownVsp());
        Assert.Equal(IntegrationState.NotConnected, bus.Vsp.State);
        IcVsc guest = await bus.OpenAsync(3, 1);
        Assert.Equal([(3, 2), (3, 1), (3, 0), (1, 0)], guest.Offered);
        Assert.Equal((IntegrationState.Running, new IcVersion(3, 1)), (bus.Vsp.State, bus.Vsp.Version));
    }

    [Fact]
    public async Task A_guest_that_knows_no_version_is_reported_as_such()
    {
        using var bus = new IcBus<ShutdownVsp>(new ShutdownVsp());
        IcVsc guest = bus.Open();
        Assert.False(guest.Negotiate((9, 9)));
        Assert.True(SpinWait.SpinUntil(() => bus.Vsp.State == IntegrationState.Refused, TimeSpan.FromSeconds(20)));
        await Assert.ThrowsAsync<IntegrationException>(() => bus.Vsp.ShutdownAsync(cancellation: Cancellation));
    }

    [Fact]
    public async Task A_service_without_a_driver_says_so()
    {
        using var bus = new IcBus<KvpVsp>(new KvpVsp());
        IntegrationException e = await Assert.ThrowsAsync<IntegrationException>(
            () => bus.Vsp.SetAsync(KvpPool.External, "a", "b", Cancellation));
        Assert.Contains("no driver", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, 0u)]
    [InlineData(true, 2u)]
    public async Task Shutdown_and_reboot_differ_in_their_flags(bool reboot, uint flags)
    {
        using var bus = new IcBus<ShutdownVsp>(new ShutdownVsp());
        IcVsc guest = await bus.OpenAsync(3, 2);
        Task asked = reboot ? bus.Vsp.RebootAsync(cancellation: Cancellation) : bus.Vsp.ShutdownAsync(cancellation: Cancellation);
        IcRequest request = guest.Receive();
        Assert.Equal((3, TransactionAndRequest, 2060), (request.Type, request.Flags, request.Body.Length));
        Assert.Equal(flags, BinaryPrimitives.ReadUInt32LittleEndian(request.Body[8..]));
        Assert.False(asked.IsCompleted);
        guest.Answer(request);
        await asked;
    }

    [Fact]
    public async Task A_refusal_is_an_exception_with_the_guest_s_status()
    {
        using var bus = new IcBus<ShutdownVsp>(new ShutdownVsp());
        IcVsc guest = await bus.OpenAsync(3, 2);
        Task asked = bus.Vsp.ShutdownAsync(cancellation: Cancellation);
        guest.Answer(guest.Receive(), IcStatus.Fail);
        Assert.Equal(IcStatus.Fail, (await Assert.ThrowsAsync<IntegrationException>(() => asked)).Status);
    }

    [Fact]
    public async Task A_late_answer_is_not_taken_for_the_next_one()
    {
        using var bus = new IcBus<KvpVsp>(new KvpVsp());
        IcVsc guest = await bus.OpenAsync(4, 0);
        using var impatience = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        Task first = bus.Vsp.SetAsync(KvpPool.External, "first", "1", impatience.Token);
        IcRequest late = guest.Receive();
        await impatience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        Task second = bus.Vsp.SetAsync(KvpPool.External, "second", "2", Cancellation);
        IcRequest request = guest.Receive();
        guest.Answer(late, IcStatus.Fail);
        guest.Answer(request);
        await second;
    }

    [Fact]
    public async Task A_closed_channel_ends_the_request_under_way_and_opens_again()
    {
        using var bus = new IcBus<KvpVsp>(new KvpVsp());
        IcVsc guest = await bus.OpenAsync(4, 0);
        Task asked = bus.Vsp.SetAsync(KvpPool.External, "a", "b", Cancellation);
        _ = guest.Receive();
        bus.Client.Close(guest.Channel);
        await Assert.ThrowsAsync<IntegrationException>(() => asked);
        Assert.Equal(IntegrationState.NotConnected, bus.Vsp.State);
        guest = await bus.OpenAsync(3, 0);
        Assert.Equal(new IcVersion(3, 0), bus.Vsp.Version);
    }

    [Fact]
    public async Task The_heartbeat_counts_up_and_knows_when_it_was_last_heard()
    {
        using var bus = new IcBus<HeartbeatVsp>(new HeartbeatVsp(TimeSpan.FromMilliseconds(20)));
        IcVsc guest = await bus.OpenAsync(3, 0);
        Assert.Equal(HeartbeatState.NoContact, bus.Vsp.Health);
        for (ulong beat = 0; beat < 3; beat++)
        {
            IcRequest request = guest.Receive();
            Assert.Equal(beat, BinaryPrimitives.ReadUInt64LittleEndian(request.Body));
            BinaryPrimitives.WriteUInt64LittleEndian(request.Body, beat + 1);
            BinaryPrimitives.WriteUInt32LittleEndian(request.Body[8..], beat == 2 ? 2u : 1u);
            guest.Answer(request);
        }

        Assert.True(SpinWait.SpinUntil(() => bus.Vsp.Sequence == 3 && bus.Vsp.Health == HeartbeatState.Critical, TimeSpan.FromSeconds(20)));
        Assert.NotNull(bus.Vsp.LastSeen);
    }

    [Fact]
    public async Task Time_is_set_when_the_driver_connects_and_after_a_pause()
    {
        ulong reference = 4711;
        using var bus = new IcBus<TimeSyncVsp>(new TimeSyncVsp(() => reference));
        IcVsc guest = await bus.OpenAsync(4, 0);
        IcRequest first = guest.Receive();
        Assert.Equal((4, 24, (byte)1), (first.Type, first.Body.Length, first.Body[16]));
        Assert.Equal(reference, BinaryPrimitives.ReadUInt64LittleEndian(first.Body[8..]));
        var sent = DateTime.FromFileTimeUtc(BinaryPrimitives.ReadInt64LittleEndian(first.Body));
        Assert.InRange(sent, DateTime.UtcNow.AddMinutes(-5), DateTime.UtcNow);
        guest.Answer(first);

        bus.Vsp.Pause();
        bus.Vsp.Resume();
        IcRequest next;
        do
        {
            next = guest.Receive();
            guest.Answer(next);
        }
        while (next.Body[16] != 1);
    }

    [Fact]
    public async Task Old_guests_get_time_without_a_reference()
    {
        using var bus = new IcBus<TimeSyncVsp>(new TimeSyncVsp(() => 1));
        IcVsc guest = await bus.OpenAsync(3, 0);
        IcRequest first = guest.Receive();
        Assert.Equal((28, (byte)1), (first.Body.Length, first.Body[24]));
    }

    [Fact]
    public async Task A_pair_is_set_with_sizes_that_count_the_NUL()
    {
        using var bus = new IcBus<KvpVsp>(new KvpVsp());
        IcVsc guest = await bus.OpenAsync(4, 0);
        Task set = bus.Vsp.SetAsync(KvpPool.External, "key", "größe", Cancellation);
        IcRequest request = guest.Receive();
        Assert.Equal((2, (byte)1, (byte)0), (request.Type, request.Body[0], request.Body[1]));
        Assert.Equal(1, BinaryPrimitives.ReadInt32LittleEndian(request.Body[4..]));
        Assert.Equal(8, BinaryPrimitives.ReadInt32LittleEndian(request.Body[8..]));
        Assert.Equal(12, BinaryPrimitives.ReadInt32LittleEndian(request.Body[12..]));
        Assert.Equal("key\0", Encoding.Unicode.GetString(request.Body.Slice(16, 8)));
        Assert.Equal("größe\0", Encoding.Unicode.GetString(request.Body.Slice(16 + 512, 12)));
        guest.Answer(request);
        await set;
        await Assert.ThrowsAsync<ArgumentException>(() => bus.Vsp.SetAsync(KvpPool.External, new string('k', 256), "", Cancellation));
        await Assert.ThrowsAsync<ArgumentException>(() => bus.Vsp.SetAsync(KvpPool.External, "k", new string('v', 1024), Cancellation));
    }

    [Fact]
    public async Task Enumeration_ends_when_the_guest_has_no_more()
    {
        using var bus = new IcBus<KvpVsp>(new KvpVsp());
        IcVsc guest = await bus.OpenAsync(4, 0);
        Task<string?> value = bus.Vsp.GetAsync(KvpPool.Auto, "OSName", Cancellation);
        foreach ((string key, string text) in (ReadOnlySpan<(string, string)>)[("A", "1"), ("OSName", "Debian")])
        {
            IcRequest request = guest.Receive();
            Assert.Equal(((byte)3, (byte)2), (request.Body[0], request.Body[1]));
            Span<byte> data = request.Body[8..];
            BinaryPrimitives.WriteInt32LittleEndian(data[4..], Encoding.Unicode.GetBytes(key, data[12..]) + 2);
            BinaryPrimitives.WriteInt32LittleEndian(data[8..], Encoding.Unicode.GetBytes(text, data[(12 + 512)..]) + 2);
            guest.Answer(request);
        }

        guest.Answer(guest.Receive(), IcStatus.NoMoreItems);
        Assert.Equal("Debian", await value);
    }

    [Fact]
    public async Task Sizes_beyond_the_message_are_cut()
    {
        using var bus = new IcBus<KvpVsp>(new KvpVsp());
        IcVsc guest = await bus.OpenAsync(4, 0);
        Task<IReadOnlyList<KvpItem>> items = bus.Vsp.EnumerateAsync(KvpPool.Guest, Cancellation);
        IcRequest request = guest.Receive();
        request.Body[12..].Fill((byte)'x');
        guest.Answer(request);
        guest.Answer(guest.Receive(), IcStatus.NoMoreItems);
        KvpItem item = Assert.Single(await items);
        Assert.Equal((256, 1024), (item.Key.Length, item.Value.Length));
    }

    [Fact]
    public async Task Addresses_go_both_ways()
    {
        using var bus = new IcBus<KvpVsp>(new KvpVsp());
        IcVsc guest = await bus.OpenAsync(4, 0);
        var info = new KvpIpInfo("{abc}", 1, false, "10.0.0.2", "255.0.0.0", "10.0.0.1", "10.0.0.3;10.0.0.4");
        Task set = bus.Vsp.SetIpInfoAsync(info, Cancellation);
        IcRequest request = guest.Receive();
        Assert.Equal((0x1d04, (byte)5), (request.Body.Length, request.Body[0]));
        byte[] sent = request.Body.ToArray();
        guest.Answer(request);
        await set;

        Task<KvpIpInfo> get = bus.Vsp.GetIpInfoAsync("{abc}", 1, Cancellation);
        request = guest.Receive();
        Assert.Equal(4, request.Body[0]);
        sent.AsSpan(2).CopyTo(request.Body[2..]);
        guest.Answer(request);
        Assert.Equal(info, await get);
    }

    [Fact]
    public async Task Freeze_and_thaw_are_remembered()
    {
        using var bus = new IcBus<VssVsp>(new VssVsp());
        IcVsc guest = await bus.OpenAsync(5, 0);
        Task freeze = bus.Vsp.FreezeAsync(Cancellation);
        IcRequest request = guest.Receive();
        Assert.Equal((5, (byte)5, 6260), (request.Type, request.Body[0], request.Body.Length));
        guest.Answer(request);
        await freeze;
        Assert.True(bus.Vsp.IsFrozen);
        Task thaw = bus.Vsp.ThawAsync(Cancellation);
        request = guest.Receive();
        Assert.Equal(6, request.Body[0]);
        guest.Answer(request);
        await thaw;
        Assert.False(bus.Vsp.IsFrozen);
    }

    [Fact]
    public async Task A_file_arrives_in_fragments()
    {
        using var bus = new IcBus<FileCopyVsp>(new FileCopyVsp());
        IcVsc guest = await bus.OpenAsync(1, 1);
        byte[] content = new byte[(2 * 6144) + 100];
        new Random(5).NextBytes(content);
        Task<long> copy = bus.Vsp.CopyAsync(new MemoryStream(content), "/tmp/dir/file", createDirectories: true, cancellation: Cancellation);
        IcRequest start = guest.Receive();
        Assert.Equal((7, 1088), (start.Type, start.Body.Length));
        Assert.Equal("file\0", Encoding.Unicode.GetString(start.Body.Slice(36, 10)));
        Assert.Equal("/tmp/dir/\0", Encoding.Unicode.GetString(start.Body.Slice(36 + 520, 20)));
        Assert.Equal((2u, (ulong)content.Length), (
            BinaryPrimitives.ReadUInt32LittleEndian(start.Body[1076..]), BinaryPrimitives.ReadUInt64LittleEndian(start.Body[1080..])));
        guest.Answer(start);
        byte[] received = new byte[content.Length];
        IcRequest request;
        while ((request = guest.Receive()).Body[0] == 1)
        {
            int offset = (int)BinaryPrimitives.ReadInt64LittleEndian(request.Body[40..]);
            int bytes = BinaryPrimitives.ReadInt32LittleEndian(request.Body[48..]);
            request.Body.Slice(52, bytes).CopyTo(received.AsSpan(offset));
            guest.Answer(request);
        }

        Assert.Equal(2, request.Body[0]);
        guest.Answer(request);
        Assert.Equal(content.Length, await copy);
        Assert.Equal(content, received);
    }

    [Fact]
    public async Task A_copy_that_fails_is_cancelled_in_the_guest()
    {
        using var bus = new IcBus<FileCopyVsp>(new FileCopyVsp());
        IcVsc guest = await bus.OpenAsync(1, 1);
        Task<long> copy = bus.Vsp.CopyAsync(new MemoryStream(new byte[10]), "/f", cancellation: Cancellation);
        guest.Answer(guest.Receive());
        guest.Answer(guest.Receive(), IcStatus.DiskFull);
        IcRequest cancel = guest.Receive();
        Assert.Equal(3, cancel.Body[0]);
        guest.Answer(cancel);
        Assert.Equal(IcStatus.DiskFull, (await Assert.ThrowsAsync<IntegrationException>(() => copy)).Status);
        await Assert.ThrowsAsync<ArgumentException>(() => bus.Vsp.CopyAsync(Stream.Null, "relative", cancellation: Cancellation));
    }

    [Fact]
    public async Task Garbage_from_the_guest_costs_nothing_but_the_answer()
    {
        using var bus = new IcBus<KvpVsp>(new KvpVsp());
        IcVsc guest = await bus.OpenAsync(4, 0);
        var random = new Random(20_26);
        for (int i = 0; i < 2000; i++)
        {
            byte[] packet = new byte[random.Next(0, 120)];
            random.NextBytes(packet);
            if (packet.Length >= IcVsc.HeaderBytes && random.Next(2) == 0)
            {
                // A header that is nearly right.
                BinaryPrimitives.WriteUInt32LittleEndian(packet, 1);
                BinaryPrimitives.WriteUInt16LittleEndian(packet.AsSpan(12), (ushort)random.Next(3));
                packet[25] = 5;
            }

            while (!guest.Channel.TrySend(VMBus.Protocol.PacketType.DataInBand, VMBus.Protocol.PacketFlags.None, 0, packet))
            {
                Thread.Yield();
            }
        }

        Task set = bus.Vsp.SetAsync(KvpPool.External, "a", "b", Cancellation);
        guest.Answer(guest.Receive());
        await set;
    }
}

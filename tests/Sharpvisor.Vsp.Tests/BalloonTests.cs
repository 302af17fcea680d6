// The balloon VSP against the C# guest end: negotiation, pages taken and given back, reports, and guests that cheat.
using System.Buffers.Binary;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Balloon;
using Sharpvisor.Vsp.Balloon;
using Sharpvisor.Vsp.Integration;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

public sealed class BalloonTests : IDisposable
{
    // Pages 0x2000 and up are the test's; the C# guest uses 4 to 12 MiB.
    private const ulong Page = 0x2000;

    private readonly GuestMemory _memory = new(128 << 20, 384 << 20);
    private readonly Statistics _statistics = new();
    private readonly BalloonVsp _vsp;
    private readonly VmbusServer _server;
    private readonly VmbusClient _client;

    public BalloonTests()
    {
        var synic = new LoopbackSynic();
        _vsp = new BalloonVsp(_statistics);
        _server = new VmbusServer(_memory, synic, _statistics);
        _client = new VmbusClient(_memory, synic, 4 << 20, 8 << 20);
        Assert.True(_server.Offer(_vsp));
        Assert.True(_client.Connect());
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _server.Dispose();
        _vsp.Dispose();
        _memory.Dispose();
    }

    [Fact]
    public void Versions_are_tried_until_one_is_known()
    {
        BalloonVsc guest = Open();
        Assert.False(guest.RequestVersion(9, 0));
        Assert.True(guest.RequestVersion(1, 0));
        Assert.True(guest.RequestVersion(2, 0));
        Assert.True(guest.RequestVersion(0, 3));
        Assert.False(guest.RequestVersion(7, 7, last: true));
        Assert.Equal(IntegrationState.Refused, _vsp.State);
    }

    [Fact]
    public async Task Ballooned_pages_lose_their_content_and_come_back()
    {
        BalloonVsc guest = Negotiated();
        Assert.True(_memory.TryWrite(Page << 12, 1UL));
        Task<ulong> inflate = _vsp.SetBalloonAsync(600 * 4096, Cancellation);
        (ushort type, byte[] body) = guest.Receive();
        Assert.Equal((6, 600u), (type, BinaryPrimitives.ReadUInt32LittleEndian(body)));
        guest.GivePages(more: true, (Page, 512));
        Assert.False(inflate.IsCompleted);
        guest.GivePages(more: false, (Page + 1024, 8));
        Assert.Equal(520UL * 4096, await inflate);
        Assert.Equal(520UL * 4096, _vsp.BalloonedBytes);
        Assert.Equal(520, _statistics["balloon.released_pages"].Value);
        Assert.True(_memory.TryRead(Page << 12, out ulong gone));
        Assert.Equal(0UL, gone);

        Task<ulong> deflate = _vsp.SetBalloonAsync(500 * 4096, Cancellation);
        (type, body) = guest.Receive();
        Assert.Equal((8, 0, 2), (type, body[0], BinaryPrimitives.ReadInt32LittleEndian(body.AsSpan(4))));
        Assert.Equal((Page + 1024) | (8UL << 40), BinaryPrimitives.ReadUInt64LittleEndian(body.AsSpan(8)));
        Assert.Equal((Page + 500) | (12UL << 40), BinaryPrimitives.ReadUInt64LittleEndian(body.AsSpan(16)));
        guest.Unballooned();
        Assert.Equal(500UL * 4096, await deflate);
    }

    [Fact]
    public async Task Many_ranges_are_given_back_in_messages_of_a_page()
    {
        BalloonVsc guest = Negotiated();
        Task<ulong> inflate = _vsp.SetBalloonAsync(1000 * 4096, Cancellation);
        _ = guest.Receive();
        guest.GivePages(more: true, [.. Enumerable.Range(0, 500).Select(i => (Page + ((ulong)i * 2), 1UL))]);
        guest.GivePages(more: false, [.. Enumerable.Range(500, 500).Select(i => (Page + ((ulong)i * 2), 1UL))]);
        Assert.Equal(1000UL * 4096, await inflate);

        Task<ulong> deflate = _vsp.SetBalloonAsync(0, Cancellation);
        (_, byte[] first) = guest.Receive();
        (_, byte[] second) = guest.Receive();
        Assert.Equal((1, 0), (first[0], second[0]));
        Assert.Equal(1000, BinaryPrimitives.ReadInt32LittleEndian(first.AsSpan(4)) + BinaryPrimitives.ReadInt32LittleEndian(second.AsSpan(4)));
        Assert.InRange(first.Length + 8, 0, 4096);
        guest.Unballooned();
        Assert.Equal(0UL, await deflate);
    }

    [Fact]
    public async Task A_guest_cannot_give_what_it_was_not_asked_for_or_does_not_have()
    {
        BalloonVsc guest = Negotiated();
        Assert.True(_memory.TryWrite(Page << 12, 7UL));
        guest.GivePages(more: false, (Page, 1));
        guest.ReportStatus(1, 1);
        Assert.True(SpinWait.SpinUntil(() => _vsp.Report is not null, TimeSpan.FromSeconds(20)));
        Task<ulong> inflate = _vsp.SetBalloonAsync(10 * 4096, Cancellation);
        _ = guest.Receive();
        guest.GivePages(more: false, (Page, 11), (Page, 0), (0x8000, 1), ((1UL << 40) - 1, 10), (Page + 4, 2));
        Assert.Equal(2UL * 4096, await inflate);
        Assert.True(_memory.TryRead(Page << 12, out ulong kept));
        Assert.Equal(7UL, kept);
    }

    [Fact]
    public async Task Memory_above_what_there_is_comes_by_hot_add_and_the_rest_stays_in_the_balloon()
    {
        BalloonVsc guest = Negotiated();
        Assert.False(_memory.TryWrite(128UL << 20, 1UL));
        Task<ulong> growing = _vsp.SetMemoryAsync((256UL << 20) - 8192, Cancellation);
        (ushort type, byte[] body) = guest.Receive();
        Assert.Equal((10, 8, (128UL << 8) | (0x8000UL << 40)), (type, body.Length, BinaryPrimitives.ReadUInt64LittleEndian(body)));
        Assert.True(_memory.TryWrite(128UL << 20, 1UL));
        guest.HotAdded(0x8000);
        (type, body) = guest.Receive();
        Assert.Equal((6, 2u), (type, BinaryPrimitives.ReadUInt32LittleEndian(body)));
        guest.GivePages(more: false, (Page, 2));
        Assert.Equal((256UL << 20) - 8192, await growing);

        // Less: ballooning only. More: first what the balloon holds, then memory, as far as there may be any.
        Task<ulong> shrinking = _vsp.SetMemoryAsync((256UL << 20) - 16384, Cancellation);
        Assert.Equal(6, guest.Receive().Type);
        guest.GivePages(more: false, (Page + 2, 2));
        Assert.Equal((256UL << 20) - 16384, await shrinking);
        growing = _vsp.SetMemoryAsync(1UL << 30, Cancellation);
        Assert.Equal(8, guest.Receive().Type);
        guest.Unballooned();
        Assert.Equal(10, guest.Receive().Type);
        guest.HotAdded(0x8000);
        Assert.Equal(384UL << 20, await growing);
    }

    [Theory]
    [InlineData(0u, 128u)]
    [InlineData(0x1000u, 144u)]
    public async Task What_the_guest_does_not_take_is_taken_back(uint pages, uint megabytes)
    {
        BalloonVsc guest = Negotiated();
        Task<ulong> growing = _vsp.SetMemoryAsync(256UL << 20, Cancellation);
        _ = guest.Receive();
        guest.HotAdded(pages);
        await Assert.ThrowsAsync<IntegrationException>(() => growing);
        Assert.Equal((ulong)megabytes << 20, _memory.RamBytes);
    }

    [Fact]
    public async Task A_guest_that_claims_more_than_it_was_given_gets_no_more()
    {
        BalloonVsc guest = Negotiated();
        guest.HotAdded(0x8000);
        Task<ulong> growing = _vsp.SetMemoryAsync(256UL << 20, Cancellation);
        _ = guest.Receive();
        guest.HotAdded(uint.MaxValue);
        Assert.Equal(256UL << 20, await growing);
    }

    [Theory]
    [InlineData(1UL)]
    [InlineData(1UL | 2 | (8 << 2))]
    public async Task A_guest_that_cannot_add_memory_in_these_blocks_is_not_asked_to(ulong capabilities)
    {
        BalloonVsc guest = Open();
        Assert.True(guest.RequestVersion(2, 0));
        Assert.True(guest.ReportCapabilities(capabilities));
        Assert.True(SpinWait.SpinUntil(() => _vsp.State == IntegrationState.Running, TimeSpan.FromSeconds(20)));
        await Assert.ThrowsAsync<IntegrationException>(() => _vsp.SetMemoryAsync(256UL << 20, Cancellation));
        Assert.Equal(128UL << 20, _memory.RamBytes);
    }

    [Fact]
    public async Task Reports_are_kept_and_a_close_ends_everything()
    {
        BalloonVsc guest = Negotiated();
        guest.ReportStatus(1000, 2000);
        Assert.True(SpinWait.SpinUntil(() => _vsp.Report is not null, TimeSpan.FromSeconds(20)));
        Assert.Equal((1000UL * 4096, 2000UL * 4096), (_vsp.Report!.Value.AvailableBytes, _vsp.Report.Value.CommittedBytes));
        Task<ulong> inflate = _vsp.SetBalloonAsync(4096, Cancellation);
        _ = guest.Receive();
        _client.Close(guest.Channel);
        await Assert.ThrowsAsync<IntegrationException>(() => inflate);
        await Assert.ThrowsAsync<IntegrationException>(() => _vsp.SetBalloonAsync(0, Cancellation));
        Assert.Null(_vsp.Report);
    }

    [Fact]
    public void Garbage_is_survived()
    {
        BalloonVsc guest = Negotiated();
        var random = new Random(11);
        for (int i = 0; i < 2000; i++)
        {
            byte[] body = new byte[random.Next(0, 100)];
            random.NextBytes(body);
            try
            {
                guest.Send((ushort)random.Next(14), body);
            }
            catch (InvalidOperationException)
            {
                Thread.Yield();
            }

            _ = guest.Channel.TryReceive();
        }

        while (guest.Channel.TryReceive() is not null || guest.Channel.Outbound.FreeBytes < guest.Channel.Outbound.DataBytes)
        {
            Thread.Yield();
        }

        Assert.Equal(0UL, _vsp.BalloonedBytes);
    }

    private BalloonVsc Open()
    {
        GuestChannel? channel = _client.Open(Assert.Single(_client.RequestOffers()), 5, 5);
        Assert.NotNull(channel);
        return new BalloonVsc(channel);
    }

    private BalloonVsc Negotiated()
    {
        BalloonVsc guest = Open();
        Assert.True(guest.RequestVersion(2, 0));
        Assert.True(guest.ReportCapabilities());
        Assert.True(SpinWait.SpinUntil(() => _vsp.State == IntegrationState.Running, TimeSpan.FromSeconds(20)));
        return guest;
    }
}

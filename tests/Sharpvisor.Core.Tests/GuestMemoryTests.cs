using Xunit;

namespace Sharpvisor.Core.Tests;

public sealed class GuestMemoryTests : IDisposable
{
    private readonly GuestMemory _memory = new(1 << 20);

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void What_is_written_across_pages_is_read_back()
    {
        byte[] data = [.. Enumerable.Range(0, 10000).Select(i => (byte)i)];
        Assert.True(_memory.TryWrite(4000, data));

        byte[] read = new byte[data.Length];
        Assert.True(_memory.TryRead(4000, read));
        Assert.Equal(data, read);
    }

    [Theory]
    [InlineData((1UL << 20) - 4)]
    [InlineData(1UL << 20)]
    [InlineData(GuestMemory.LowRamLimit)]
    [InlineData(GuestMemory.HighRamBase)]
    [InlineData(ulong.MaxValue - 3)]
    public void Access_that_leaves_memory_fails(ulong gpa)
    {
        Assert.False(_memory.TryRead(gpa, new byte[8]));
        Assert.False(_memory.TryWrite(gpa, new byte[8]));
        Assert.False(_memory.TryRead(gpa, out ulong _));
        Assert.False(_memory.TryWrite(gpa, 0UL));
        Assert.False(_memory.TryGetMemory(gpa, 8, out _));
    }

    [Fact]
    public void An_overlay_page_covers_memory_and_gives_it_back()
    {
        _memory.TryWrite(0x3000, 0x1111UL);
        OverlayPage page = _memory.CreateOverlayPage();
        page.Bytes[0] = 0x22;

        Assert.True(_memory.PlaceOverlay(3, page, writable: true));
        Assert.True(_memory.TryRead(0x3000, out ulong covered));
        Assert.False(_memory.TryGetMemory(0x3000, 16, out _));
        _memory.TryWrite(0x3008, 0x33UL);
        Assert.False(_memory.PlaceOverlay(3, page, writable: true));
        _memory.RemoveOverlay(3);

        Assert.Equal(0x22UL, covered);
        Assert.Equal(0x33, page.Bytes[8]);
        Assert.True(_memory.TryRead(0x3000, out ulong uncovered));
        Assert.Equal(0x1111UL, uncovered);
    }

    [Fact]
    public void Rom_is_read_and_not_written()
    {
        _memory.MapRom(0xF_0000, new byte[] { 1, 2, 3 });

        Assert.True(_memory.TryRead(0xF_0000, out ushort value));
        Assert.Equal(0x201, value);
        Assert.False(_memory.TryWrite(0xF_0000, (byte)9));
        Assert.False(_memory.TryGetMemory(0xF_0000, 4, out _));
    }

    [Fact]
    public void A_write_to_tracked_code_changes_its_generation()
    {
        Assert.Equal(0u, _memory.CodeGeneration(5));
        _memory.TryWrite(0x5000, 1UL);
        Assert.Equal(0u, _memory.CodeGeneration(5));

        uint tracked = _memory.TrackCode(5);
        _memory.TryWrite(0x5FFC, 1UL);

        Assert.NotEqual(tracked, _memory.CodeGeneration(5));
        Assert.NotEqual(0u, _memory.CodeGeneration(5));
    }

    [Fact]
    public void A_code_page_settles_when_every_watcher_has_dropped_its_writes()
    {
        var watchers = new Watcher[] { new(), new() };
        Array.ForEach(watchers, _memory.Watch);

        uint first = _memory.TrackCode(5);
        Assert.All(watchers, watcher => Assert.Equal([5UL], watcher.Pages));
        _memory.WritesDropped(5);
        Assert.False(GuestMemory.IsSettled(_memory.CodeGeneration(5)));
        _memory.WritesDropped(5);

        Assert.True(GuestMemory.IsSettled(_memory.CodeGeneration(5)));
        Assert.NotEqual(first, _memory.CodeGeneration(5));
        Assert.Equal(_memory.CodeGeneration(5), _memory.TrackCode(5));
        Assert.All(watchers, watcher => Assert.Single(watcher.Pages));
    }

    [Fact]
    public void Memory_for_direct_io_is_the_guests_own()
    {
        Assert.True(_memory.TryGetMemory(0x1FF0, 0x20, out Memory<byte> memory));
        memory.Span.Fill(0xAB);

        Assert.True(_memory.TryRead(0x200F, out byte value));
        Assert.Equal(0xAB, value);
    }

    [Fact]
    public void Discarded_pages_read_as_zeros_and_can_be_written_again()
    {
        byte[] ones = new byte[4 * GuestMemory.PageBytes];
        ones.AsSpan().Fill(1);
        Assert.True(_memory.TryWrite(0, ones));
        uint generation = _memory.TrackCode(1);

        Assert.True(_memory.TryDiscard(1, 2));

        byte[] read = new byte[ones.Length];
        Assert.True(_memory.TryRead(0, read));
        ones.AsSpan(GuestMemory.PageBytes, 2 * GuestMemory.PageBytes).Clear();
        Assert.Equal(ones, read);
        Assert.NotEqual(generation, _memory.CodeGeneration(1));
        Assert.True(_memory.TryWrite(0x1000, 5UL));
        Assert.True(_memory.TryRead(0x1000, out ulong again));
        Assert.Equal(5UL, again);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(255, 2)]
    [InlineData(256, 1)]
    [InlineData(0x10_0000, 1)]
    [InlineData(1, ulong.MaxValue)]
    [InlineData(ulong.MaxValue, 1)]
    public void What_is_not_RAM_cannot_be_discarded(ulong gpn, ulong pages) => Assert.False(_memory.TryDiscard(gpn, pages));

    private sealed class Watcher : ICodeWatcher
    {
        public List<ulong> Pages { get; } = [];

        public void CodeTracked(ulong gpn) => Pages.Add(gpn);
    }
}

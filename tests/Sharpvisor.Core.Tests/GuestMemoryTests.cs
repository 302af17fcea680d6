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

    [Fact]
    public void Memory_grows_to_its_maximum_and_shrinks_to_what_it_started_with()
    {
        using var memory = new GuestMemory(16 << 20, 48 << 20);
        var changes = new List<(ulong, ulong)>();
        memory.LayoutChanged += (gpn, count) => changes.Add((gpn, count));
        Assert.Equal((16UL << 20, 48UL << 20), (memory.RamBytes, memory.MaximumBytes));
        Assert.False(memory.TryWrite(16 << 20, 1UL));
        Assert.False(memory.TryDiscard(0x1000, 1));

        Assert.True(memory.TryGrow((16 << 20) + 5, out ulong gpa, out ulong added));
        Assert.Equal((16UL << 20, 16UL << 20, 32UL << 20), (gpa, added, memory.RamBytes));
        Assert.Equal((0x1000UL, 0x1000UL), Assert.Single(changes));
        Assert.True(memory.TryWrite((32UL << 20) - 8, 7UL));
        Assert.True(memory.TryGetMemory((16UL << 20) - 8, 16, out Memory<byte> across));
        across.Span.Fill(1);
        Assert.False(memory.TryRead(32UL << 20, out ulong _));
        Assert.True(memory.TryDiscard(0x1FFF, 1));

        Assert.True(memory.TryGrow(ulong.MaxValue, out gpa, out added));
        Assert.Equal((32UL << 20, 16UL << 20), (gpa, added));
        Assert.False(memory.TryGrow(4096, out _, out _));
        Assert.True(memory.TryWrite(32UL << 20, 9UL));

        memory.Shrink(24 << 20);
        Assert.Equal((24UL << 20, 0UL), (memory.RamBytes, memory.PageEntry(0x1800)));
        memory.Shrink(0);
        Assert.Equal(16UL << 20, memory.RamBytes);
        Assert.False(memory.TryRead(16UL << 20, out ulong _));
        Assert.True(memory.TryRead((16UL << 20) - 8, out ulong kept));
        Assert.Equal(0x0101_0101_0101_0101UL, kept);

        // What comes again is zeroed.
        Assert.True(memory.TryGrow(32 << 20, out _, out _));
        Assert.True(memory.TryRead(32UL << 20, out ulong content));
        Assert.Equal(0UL, content);
    }

    [Fact]
    public void Memory_grows_around_the_hole_below_4_GiB()
    {
        using var memory = new GuestMemory(GuestMemory.LowRamLimit - (128 << 20), GuestMemory.LowRamLimit + (256 << 20));
        Assert.Equal(256UL << 20, memory.MaximumHighRamBytes);
        Assert.True(memory.TryGrow(384 << 20, out ulong gpa, out ulong added));
        Assert.Equal((GuestMemory.LowRamLimit - (128 << 20), 128UL << 20), (gpa, added));
        Assert.True(memory.TryGrow(384 << 20, out gpa, out added));
        Assert.Equal((GuestMemory.HighRamBase, 256UL << 20), (gpa, added));
        Assert.True(memory.TryWrite(GuestMemory.HighRamBase, 5UL));
        Assert.True(memory.TryGetMemory(GuestMemory.HighRamBase, 8, out Memory<byte> bytes));
        Assert.Equal(5, bytes.Span[0]);
        Assert.False(memory.TryRead(GuestMemory.LowRamLimit, out ulong _));
        memory.Shrink(GuestMemory.LowRamLimit);
        Assert.False(memory.TryRead(GuestMemory.HighRamBase, out ulong _));
    }

    [Fact]
    public void Memory_does_not_grow_over_something_else()
    {
        using var memory = new GuestMemory(16 << 20, 48 << 20);
        Assert.True(memory.PlaceOverlay(0x1800, memory.CreateOverlayPage(), writable: true));
        Assert.False(memory.TryGrow(16 << 20, out _, out _));
        Assert.Equal(16UL << 20, memory.RamBytes);
        memory.RemoveOverlay(0x1800);
        Assert.True(memory.TryGrow(16 << 20, out _, out _));
        // An overlay keeps what is below from being seen; when it goes, nothing may be there any more.
        Assert.True(memory.PlaceOverlay(0x1800, memory.CreateOverlayPage(), writable: true));
        memory.Shrink(0);
        Assert.True(memory.TryWrite(0x180_0000, 1UL));
        memory.RemoveOverlay(0x1800);
        Assert.False(memory.TryWrite(0x180_0000, 1UL));
    }
}

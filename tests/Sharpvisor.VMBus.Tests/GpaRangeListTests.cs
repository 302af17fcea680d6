// Guest memory named by ranges.
using Sharpvisor.Core;

namespace Sharpvisor.VMBus.Tests;

public sealed class GpaRangeListTests
{
    [Theory]
    [InlineData(0u, 0u, 0)]
    [InlineData(1u, 0u, 1)]
    [InlineData(4096u, 0u, 1)]
    [InlineData(4096u, 1u, 2)]
    [InlineData(uint.MaxValue, 4095u, 1048577)]
    public void The_number_of_pages_follows_from_length_and_offset(uint bytes, uint offset, int pages) =>
        Assert.Equal(pages, GpaRangeList.PagesSpanned(bytes, offset));

    [Fact]
    public void Adjacent_pages_are_mapped_as_one_segment()
    {
        using var memory = new GuestMemory(4 << 20);
        var list = new GpaRangeList();
        Assert.True(list.TryAdd(4 * 4096, 512, [10, 11, 12, 20, 21]));
        Assert.True(list.TryAdd(100, 0, [22]));
        Assert.False(list.TryAdd(4096, 4096, [1, 2]));
        Assert.False(list.TryAdd(4096, 0, [1, 2]));
        var segments = new SegmentList();
        Assert.True(list.TryMap(memory, 0, list.TotalBytes, segments));
        Assert.Equal([(3 * 4096) - 512, 4096 + 512, 100], ((IReadOnlyList<Memory<byte>>)segments).Select(s => s.Length));
        segments.Clear();
        Assert.True(list.TryMap(memory, 4096, 8192, segments));
        Assert.Equal([8192 - 512, 512], ((IReadOnlyList<Memory<byte>>)segments).Select(s => s.Length));
        Assert.False(list.TryMap(memory, 0, list.TotalBytes + 1, segments));
        Assert.False(list.TryMap(memory, -1, 1, segments));
        Assert.False(list.TryMap(memory, 1, long.MaxValue, segments));
    }

    [Fact]
    public void Copies_go_through_all_ranges_and_come_back()
    {
        using var memory = new GuestMemory(4 << 20);
        var list = new GpaRangeList();
        list.TryAdd(5000, 4000, [10, 30, 20]);
        list.TryAdd(3000, 0, [40]);
        byte[] data = new byte[7000];
        new Random(3).NextBytes(data);
        Assert.True(list.TryWrite(memory, 500, data));
        byte[] back = new byte[7000];
        Assert.True(list.TryRead(memory, 500, back));
        Assert.Equal(data, back);
        byte[] one = new byte[1];
        Assert.True(memory.TryRead(40UL << 12, one));
        Assert.Equal(data[4500], one[0]);
        list.NotifyWrite(memory, 500, 7000);
    }

    [Fact]
    public void Pages_that_are_no_memory_fail_without_harm()
    {
        using var memory = new GuestMemory(4 << 20);
        foreach (ulong pfn in new ulong[] { 1024, 0xFFFFF, 1UL << 40, ulong.MaxValue, ulong.MaxValue >> 12 })
        {
            var list = new GpaRangeList();
            Assert.True(list.TryAdd(8192, 0, [10, pfn]));
            Assert.False(list.TryMap(memory, 0, 8192, new SegmentList()));
            Assert.False(list.TryRead(memory, 0, new byte[8192]));
            Assert.False(list.TryWrite(memory, 0, new byte[8192]));
            list.NotifyWrite(memory, 0, 8192);
        }
    }
}

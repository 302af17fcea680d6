// One ring in guest memory: a control page and data pages, scattered over guest physical memory (include/linux/hyperv.h,
// struct hv_ring_buffer). Guests map the data twice in a row; here the wrap is done by copying in two pieces.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sharpvisor.Core;

namespace Sharpvisor.VMBus;

/// <summary>Access to a ring's pages. Offsets and lengths come checked from the reader and the writer.</summary>
internal sealed class RingMemory
{
    private readonly GuestMemory _memory;
    private readonly ulong[] _pfns;
    private readonly Memory<byte> _control;
    private readonly Memory<byte>[] _pages;
    private readonly Memory<byte> _block;

    private RingMemory(GuestMemory memory, ulong[] pfns, Memory<byte> control, Memory<byte>[] pages, Memory<byte> block)
    {
        _memory = memory;
        _pfns = pfns;
        _control = control;
        _pages = pages;
        _block = block;
        DataBytes = (uint)pfns.Length * GuestMemory.PageBytes;
    }

    /// <summary>Size of the data area.</summary>
    public uint DataBytes { get; }

    /// <param name="memory">The guest's memory.</param>
    /// <param name="pfns">Control page, then data pages.</param>
    /// <returns>Null when there is no data page, or a page is not plain RAM (plain RAM stays valid for the VM's life).</returns>
    public static RingMemory? TryCreate(GuestMemory memory, ReadOnlySpan<ulong> pfns)
    {
        if (pfns.Length < 2 || !TryGetPage(memory, pfns[0], out Memory<byte> control))
        {
            return null;
        }

        ulong[] data = pfns[1..].ToArray();
        var pages = new Memory<byte>[data.Length];
        bool adjacent = true;
        for (int i = 0; i < data.Length; i++)
        {
            if (!TryGetPage(memory, data[i], out pages[i]))
            {
                return null;
            }

            adjacent &= data[i] == data[0] + (uint)i;
        }

        // Drivers mostly have their rings in one piece (alloc_pages), which makes two copies at most of any packet.
        Memory<byte> block = default;
        if (adjacent && !memory.TryGetMemory(data[0] << GuestMemory.PageShift, data.Length * GuestMemory.PageBytes, out block))
        {
            block = default;
        }

        return new RingMemory(memory, data, control, pages, block);
    }

    /// <summary>A word of the control page; both ends access it at the same time, so only through Volatile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref uint Control(int word) => ref MemoryMarshal.Cast<byte, uint>(_control.Span)[word];

    /// <summary>Copies out, wrapping at the end of the data.</summary>
    public void Read(uint offset, Span<byte> destination)
    {
        while (destination.Length > 0)
        {
            ReadOnlySpan<byte> run = Run(offset, destination.Length, out int bytes);
            run.CopyTo(destination);
            destination = destination[bytes..];
            offset = Advance(offset, (uint)bytes);
        }
    }

    /// <summary>Copies in, wrapping at the end of the data; returns the offset after it.</summary>
    public uint Write(uint offset, ReadOnlySpan<byte> source)
    {
        while (source.Length > 0)
        {
            Span<byte> run = Run(offset, source.Length, out int bytes);
            source[..bytes].CopyTo(run);
            NotifyWrite(offset, bytes);
            source = source[bytes..];
            offset = Advance(offset, (uint)bytes);
        }

        return offset;
    }

    /// <summary>Adds within the ring. <paramref name="offset"/> is below the size, <paramref name="bytes"/> at most the size.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Advance(uint offset, uint bytes)
    {
        uint next = offset + bytes;
        return next >= DataBytes ? next - DataBytes : next;
    }

    /// <summary>An index the guest may have written: usable when inside the data and on an 8-byte boundary.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsIndex(uint value) => value < DataBytes && (value & 7) == 0;

    private static bool TryGetPage(GuestMemory memory, ulong pfn, out Memory<byte> page)
    {
        page = default;
        return pfn < memory.PageCount && memory.TryGetMemory(pfn << GuestMemory.PageShift, GuestMemory.PageBytes, out page);
    }

    private Span<byte> Run(uint offset, int wanted, out int bytes)
    {
        if (!_block.IsEmpty)
        {
            bytes = (int)Math.Min((uint)wanted, DataBytes - offset);
            return _block.Span.Slice((int)offset, bytes);
        }

        int inPage = (int)(offset & (GuestMemory.PageBytes - 1));
        bytes = Math.Min(wanted, GuestMemory.PageBytes - inPage);
        return _pages[offset >> GuestMemory.PageShift].Span.Slice(inPage, bytes);
    }

    // A guest that runs code out of its ring is entitled to see it change.
    private void NotifyWrite(uint offset, int bytes)
    {
        uint page = offset >> GuestMemory.PageShift;
        _memory.NotifyWrite((_pfns[page] << GuestMemory.PageShift) + (offset & (GuestMemory.PageBytes - 1)), (ulong)bytes);
    }
}

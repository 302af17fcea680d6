// Guest physical memory: memfd-backed RAM around the 32-bit MMIO hole, ROM, and the hypervisor's overlay pages
// (TLFS "Overlay Pages"). One flat table maps every guest page number (GPN) to its host page.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sharpvisor.Core.Interop;

namespace Sharpvisor.Core;

/// <summary>What a guest page is backed by, in the low bits of a <see cref="GuestMemory.PageEntry"/>.</summary>
[Flags]
public enum PageFlags
{
    /// <summary>Nothing: the access is an MMIO intercept.</summary>
    None = 0,
    Readable = 1,
    Writable = 2,
    /// <summary>An overlay page covers what is below.</summary>
    Overlay = 4,
}

/// <summary>A partition's guest physical address space. Thread-safe; no access can leave the guest's memory.</summary>
public sealed unsafe partial class GuestMemory : IDisposable
{
    public const int PageBytes = 4096;
    public const int PageShift = 12;

    /// <summary>RAM ends here below 4 GiB, as on Hyper-V: the last 128 MiB hold VMBus's and PCI's MMIO and the APICs.</summary>
    public const ulong LowRamLimit = 0xF800_0000;
    public const ulong HighRamBase = 0x1_0000_0000;

    private const int ChunkShift = 30;
    private const uint UnsettledMask = 15;
    private const uint GenerationStep = UnsettledMask + 1;
    private readonly byte* _ram;
    private readonly nuint _ramBytes;
    private readonly ulong* _pages;
    private readonly uint* _codeGeneration;
    private readonly nuint _pageCount;
    private readonly HostPages[] _chunks;
    private readonly List<HostPages> _owned = [];
    private readonly Dictionary<ulong, ulong> _coveredByOverlay = [];
    private readonly Lock _layoutLock = new();
    private ICodeWatcher[] _codeWatchers = [];

    /// <param name="ramBytes">Size of RAM in bytes, a multiple of 4096, at least 1 MiB.</param>
    /// <param name="maximumBytes">What it may grow to; smaller values mean that it does not.</param>
    /// <exception cref="ArgumentOutOfRangeException">A size is unusable.</exception>
    /// <exception cref="IOException">The host refuses the mapping.</exception>
    public GuestMemory(ulong ramBytes, ulong maximumBytes = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(ramBytes, 1UL << 20);
        ArgumentOutOfRangeException.ThrowIfNotEqual(ramBytes % PageBytes, 0UL);
        ArgumentOutOfRangeException.ThrowIfNotEqual(maximumBytes % PageBytes, 0UL);
        maximumBytes = Math.Max(ramBytes, maximumBytes);
        _ramBytes = (nuint)maximumBytes;
        _maximumLowBytes = Math.Min(maximumBytes, LowRamLimit);
        _startBytes = ramBytes;
        _currentBytes = ramBytes;
        LowRamBytes = Math.Min(ramBytes, LowRamLimit);
        HighRamBytes = ramBytes - LowRamBytes;
        _pageCount = (nuint)((HighRamBase + MaximumHighRamBytes) >> PageShift);

        // SAFETY: each mapping is checked, and released only in Dispose.
        int fd = Libc.memfd_create("sharpvisor-ram", Libc.MFD_CLOEXEC);
        if (fd < 0 || Libc.ftruncate(fd, (long)maximumBytes) != 0)
        {
            throw new IOException($"cannot create {maximumBytes >> 20} MiB of guest memory");
        }

        _ram = Map(_ramBytes, Libc.MAP_SHARED | Libc.MAP_NORESERVE, fd);
        _ = Libc.close(fd);
        _pages = (ulong*)Map(_pageCount * sizeof(ulong), Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS | Libc.MAP_NORESERVE, -1);
        _codeGeneration = (uint*)Map(_pageCount * sizeof(uint), Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS | Libc.MAP_NORESERVE, -1);

        _chunks = new HostPages[(int)((maximumBytes + (1UL << ChunkShift) - 1) >> ChunkShift)];
        for (int i = 0; i < _chunks.Length; i++)
        {
            ulong start = (ulong)i << ChunkShift;
            _chunks[i] = new HostPages(_ram + start, (int)Math.Min(1UL << ChunkShift, maximumBytes - start), owned: false);
        }

        for (ulong offset = 0; offset < ramBytes; offset += PageBytes)
        {
            _pages[GpaOf(offset) >> PageShift] = RamEntry(offset);
        }
    }

    /// <summary>Raised after pages were mapped, unmapped or overlaid: cached translations must go. Argument: first GPN, count.</summary>
    public event Action<ulong, ulong>? LayoutChanged;

    /// <summary>RAM from address 0 that the VM starts with, in bytes: what firmware tells the guest of.</summary>
    public ulong LowRamBytes { get; }

    /// <summary>RAM from 4 GiB that the VM starts with, in bytes.</summary>
    public ulong HighRamBytes { get; }

    /// <summary>Number of GPNs that can be backed at all.</summary>
    public ulong PageCount => _pageCount;

    /// <summary>
    /// The host page behind a GPN: host address in bits 63..12 and <see cref="PageFlags"/> in the low bits; 0 when the
    /// page is MMIO. For execution engines, which cache it until <see cref="LayoutChanged"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong PageEntry(ulong gpn) => gpn < _pageCount ? Volatile.Read(ref _pages[gpn]) : 0;

    /// <summary>Maps read-only memory holding <paramref name="content"/> (padded with zeros to pages) over whatever is there.</summary>
    public void MapRom(ulong gpa, ReadOnlySpan<byte> content) => MapHostPages(gpa, content, PageFlags.Readable);

    /// <summary>Maps more RAM (for example a frame buffer) initialised with <paramref name="content"/>.</summary>
    public void MapRam(ulong gpa, ReadOnlySpan<byte> content) =>
        MapHostPages(gpa, content, PageFlags.Readable | PageFlags.Writable);

    /// <summary>Removes what <see cref="MapRom"/>, <see cref="MapRam"/> or RAM put there: accesses become intercepts.</summary>
    public void Unmap(ulong gpa, ulong bytes)
    {
        lock (_layoutLock)
        {
            for (ulong gpn = gpa >> PageShift; gpn < (gpa + bytes) >> PageShift && gpn < _pageCount; gpn++)
            {
                Volatile.Write(ref _pages[gpn], 0);
            }
        }

        LayoutChanged?.Invoke(gpa >> PageShift, bytes >> PageShift);
    }

    /// <summary>Allocates one zeroed host page that can be laid over guest pages and that the hypervisor reads and writes directly.</summary>
    public OverlayPage CreateOverlayPage()
    {
        var page = new HostPages(PageBytes);
        lock (_layoutLock)
        {
            _owned.Add(page);
        }

        return new OverlayPage(page);
    }

    /// <summary>Covers a guest page. What is below is kept and comes back with <see cref="RemoveOverlay"/>.</summary>
    /// <returns>False when the GPN lies outside the address space or is already covered.</returns>
    public bool PlaceOverlay(ulong gpn, OverlayPage page, bool writable)
    {
        ArgumentNullException.ThrowIfNull(page);
        lock (_layoutLock)
        {
            if (gpn >= _pageCount || !_coveredByOverlay.TryAdd(gpn, _pages[gpn]))
            {
                return false;
            }

            PageFlags flags = PageFlags.Readable | PageFlags.Overlay | (writable ? PageFlags.Writable : 0);
            Volatile.Write(ref _pages[gpn], page.HostAddress | (ulong)flags);
        }

        NotifyWrite(gpn << PageShift, PageBytes);
        LayoutChanged?.Invoke(gpn, 1);
        return true;
    }

    /// <summary>Uncovers a guest page.</summary>
    public void RemoveOverlay(ulong gpn)
    {
        lock (_layoutLock)
        {
            if (!_coveredByOverlay.Remove(gpn, out ulong entry))
            {
                return;
            }

            Volatile.Write(ref _pages[gpn], entry);
        }

        NotifyWrite(gpn << PageShift, PageBytes);
        LayoutChanged?.Invoke(gpn, 1);
    }

    /// <summary>Copies guest memory out. False, with nothing promised about <paramref name="destination"/>, when any byte is not readable memory.</summary>
    public bool TryRead(ulong gpa, Span<byte> destination)
    {
        while (destination.Length > 0)
        {
            if (!TryGetRun(gpa, destination.Length, PageFlags.Readable, out byte* host, out int bytes))
            {
                return false;
            }

            new ReadOnlySpan<byte>(host, bytes).CopyTo(destination);
            destination = destination[bytes..];
            gpa += (uint)bytes;
        }

        return true;
    }

    /// <summary>Copies into guest memory. False when any byte is not writable memory; bytes before it may have been written.</summary>
    public bool TryWrite(ulong gpa, ReadOnlySpan<byte> source)
    {
        while (source.Length > 0)
        {
            if (!TryGetRun(gpa, source.Length, PageFlags.Writable, out byte* host, out int bytes))
            {
                return false;
            }

            source[..bytes].CopyTo(new Span<byte>(host, bytes));
            NotifyWrite(gpa, (ulong)bytes);
            source = source[bytes..];
            gpa += (uint)bytes;
        }

        return true;
    }

    /// <summary>Reads one structure; a naturally aligned one of up to 8 bytes is read atomically.</summary>
    public bool TryRead<T>(ulong gpa, out T value)
        where T : unmanaged
    {
        if ((gpa & (PageBytes - 1)) + (ulong)sizeof(T) <= PageBytes)
        {
            ulong entry = PageEntry(gpa >> PageShift);
            if ((entry & (ulong)PageFlags.Readable) == 0)
            {
                value = default;
                return false;
            }

            value = Unsafe.ReadUnaligned<T>((byte*)(entry & ~0xFFFUL) + (gpa & 0xFFF));
            return true;
        }

        value = default;
        return TryRead(gpa, MemoryMarshal.AsBytes(new Span<T>(ref value)));
    }

    /// <summary>Writes one structure; a naturally aligned one of up to 8 bytes is written atomically.</summary>
    public bool TryWrite<T>(ulong gpa, in T value)
        where T : unmanaged
    {
        if ((gpa & (PageBytes - 1)) + (ulong)sizeof(T) <= PageBytes)
        {
            ulong entry = PageEntry(gpa >> PageShift);
            if ((entry & (ulong)PageFlags.Writable) == 0)
            {
                return false;
            }

            Unsafe.WriteUnaligned((byte*)(entry & ~0xFFFUL) + (gpa & 0xFFF), value);
            NotifyWrite(gpa, (ulong)sizeof(T));
            return true;
        }

        return TryWrite(gpa, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));
    }

    /// <summary>
    /// The RAM behind [gpa, gpa + length) as one block for direct I/O (preadv, pwritev, ring access). Only plain RAM can be
    /// had this way: not ROM, MMIO or overlay pages. After writing through it, call <see cref="NotifyWrite"/>.
    /// </summary>
    public bool TryGetMemory(ulong gpa, int length, out Memory<byte> memory)
    {
        memory = default;
        if (length < 0 || !TryRamOffset(gpa, (ulong)length, out ulong offset))
        {
            return false;
        }

        int chunk = (int)(offset >> ChunkShift);
        ulong start = offset & ((1UL << ChunkShift) - 1);
        if (chunk >= _chunks.Length || start + (ulong)length > (ulong)_chunks[chunk].Length)
        {
            return false;
        }

        memory = _chunks[chunk].Memory.Slice((int)start, length);
        return true;
    }

    /// <summary>
    /// Gives the host pages behind plain RAM back to the host; the guest reads zeros there and gets new pages when it writes. For
    /// memory that the guest said it does not use (balloon, free page reports).
    /// </summary>
    /// <returns>False, with nothing done, when a page is not plain RAM, or the host refuses.</returns>
    public bool TryDiscard(ulong gpn, ulong pages)
    {
        if (pages == 0 || gpn >= _pageCount || pages > _pageCount - gpn
            || !TryRamOffset(gpn << PageShift, pages << PageShift, out ulong offset))
        {
            return false;
        }

        // SAFETY: TryRamOffset says that the range lies in _ram; MADV_REMOVE on a shared mapping punches a hole into the memfd.
        if (Libc.madvise(_ram + offset, (nuint)(pages << PageShift), Libc.MADV_REMOVE) != 0)
        {
            return false;
        }

        NotifyWrite(gpn << PageShift, pages << PageShift);
        return true;
    }

    /// <summary>Says that bytes were written other than by an engine's fast path; cached code on those pages becomes stale.</summary>
    public void NotifyWrite(ulong gpa, ulong bytes)
    {
        if (bytes == 0)
        {
            return;
        }

        Written?.Invoke(gpa, bytes);
        ulong last = Math.Min((gpa + bytes - 1) >> PageShift, _pageCount - 1);
        for (ulong gpn = gpa >> PageShift; gpn <= last; gpn++)
        {
            // Generation 0: no engine ever decoded code there.
            if (Volatile.Read(ref _codeGeneration[gpn]) != 0)
            {
                Advance(gpn, GenerationStep);
            }
        }
    }

    /// <summary>Adds an engine to those that are told of code pages; at most 15.</summary>
    public void Watch(ICodeWatcher watcher)
    {
        lock (_layoutLock)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(_codeWatchers.Length, (int)UnsettledMask);
            _codeWatchers = [.. _codeWatchers, watcher];
        }
    }

    /// <summary>Undoes <see cref="Watch"/>; no VP of the partition may run any more.</summary>
    public void Unwatch(ICodeWatcher watcher)
    {
        lock (_layoutLock)
        {
            _codeWatchers = [.. _codeWatchers.Where(each => each != watcher)];
        }
    }

    /// <summary>
    /// Starts tracking writes to a page that code was found on, without waiting for anyone. Idempotent. Until every watcher has dropped its
    /// write translations the page is not settled: stores may go unannounced, so code from it has to be compared at each use.
    /// </summary>
    /// <returns>The generation that the page will pass, or has; never 0. Equal to <see cref="CodeGeneration"/> only if the page is settled.</returns>
    public uint TrackCode(ulong gpn)
    {
        if (gpn >= _pageCount)
        {
            return GenerationStep;
        }

        if (Volatile.Read(ref _codeGeneration[gpn]) == 0)
        {
            ICodeWatcher[] watchers = Volatile.Read(ref _codeWatchers);
            if (Interlocked.CompareExchange(ref _codeGeneration[gpn], GenerationStep + (uint)watchers.Length, 0) == 0)
            {
                foreach (ICodeWatcher watcher in watchers)
                {
                    watcher.CodeTracked(gpn);
                }
            }
        }

        return Volatile.Read(ref _codeGeneration[gpn]) & ~UnsettledMask;
    }

    /// <summary>A watcher's answer to <see cref="ICodeWatcher.CodeTracked"/>.</summary>
    public void WritesDropped(ulong gpn) => Advance(gpn, GenerationStep - 1);

    /// <summary>True when every store to the page's code is announced.</summary>
    public static bool IsSettled(uint generation) => (generation & UnsettledMask) == 0;

    /// <summary>0 when the page holds no tracked code (writes need no notice); otherwise a number that every write changes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint CodeGeneration(ulong gpn) => gpn < _pageCount ? Volatile.Read(ref _codeGeneration[gpn]) : GenerationStep;

    /// <summary>Address of a page's generation counter, for an engine's block-entry check; null outside the address space.</summary>
    public uint* CodeGenerationAddress(ulong gpn) => gpn < _pageCount ? &_codeGeneration[gpn] : null;

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_isShadow)
        {
            _ = Libc.munmap(_ram, _ramBytes);
        }

        _ = Libc.munmap(_pages, _pageCount * sizeof(ulong));
        _ = Libc.munmap(_codeGeneration, _pageCount * sizeof(uint));
        foreach (HostPages pages in _owned)
        {
            ((IDisposable)pages).Dispose();
        }
    }

    /// <summary>The low bits count the watchers still to answer, the others are the generation, which skips 0 when it wraps.</summary>
    private void Advance(ulong gpn, uint step)
    {
        uint old;
        uint next;
        do
        {
            old = Volatile.Read(ref _codeGeneration[gpn]);
            next = old + step;
            next += next < GenerationStep ? GenerationStep : 0;
        }
        while (Interlocked.CompareExchange(ref _codeGeneration[gpn], next, old) != old);
    }

    private void MapHostPages(ulong gpa, ReadOnlySpan<byte> content, PageFlags flags)
    {
        int bytes = (content.Length + PageBytes - 1) & ~(PageBytes - 1);
        if ((gpa & (PageBytes - 1)) != 0 || (gpa + (ulong)bytes) >> PageShift > _pageCount)
        {
            throw new ArgumentOutOfRangeException(nameof(gpa));
        }

        var pages = new HostPages(bytes);
        content.CopyTo(pages.GetSpan());
        lock (_layoutLock)
        {
            _owned.Add(pages);
            for (int i = 0; i < bytes; i += PageBytes)
            {
                Volatile.Write(ref _pages[(gpa + (ulong)i) >> PageShift], (ulong)(pages.Address + i) | (ulong)flags);
            }
        }

        LayoutChanged?.Invoke(gpa >> PageShift, (ulong)bytes >> PageShift);
    }

    private bool TryRamOffset(ulong gpa, ulong length, out ulong offset)
    {
        offset = gpa < HighRamBase ? gpa : gpa - HighRamBase + _maximumLowBytes;
        ulong limit = gpa < HighRamBase ? _maximumLowBytes : HighRamBase + MaximumHighRamBytes;
        if (gpa >= limit || length > limit - gpa)
        {
            return false;
        }

        for (ulong gpn = gpa >> PageShift; gpn << PageShift < gpa + length; gpn++)
        {
            ulong expected = (ulong)(_ram + (offset & ~0xFFFUL) + ((gpn - (gpa >> PageShift)) << PageShift)) | 3;
            if (PageEntry(gpn) != expected)
            {
                return false;
            }
        }

        return true;
    }

    private bool TryGetRun(ulong gpa, int length, PageFlags need, out byte* host, out int bytes)
    {
        ulong entry = PageEntry(gpa >> PageShift);
        int offset = (int)(gpa & (PageBytes - 1));
        host = (byte*)(entry & ~0xFFFUL) + offset;
        bytes = Math.Min(length, PageBytes - offset);
        return (entry & (ulong)need) != 0;
    }

    private static byte* Map(nuint bytes, int flags, int fd)
    {
        void* address = Libc.mmap(null, bytes, Libc.PROT_READ | Libc.PROT_WRITE, flags, fd, 0);
        return (nint)address != -1
            ? (byte*)address
            : throw new IOException($"cannot map {bytes >> 20} MiB of guest memory");
    }
}

/// <summary>A host page the hypervisor shares with the guest by laying it over a guest page.</summary>
[SuppressMessage("Design", "CA1001", Justification = "GuestMemory owns and frees the page.")]
public sealed class OverlayPage
{
    private readonly HostPages _page;

    internal OverlayPage(HostPages page) => _page = page;

    /// <summary>The page's 4096 bytes. The guest may change them at any moment.</summary>
    public Span<byte> Bytes => _page.GetSpan();

    internal unsafe ulong HostAddress => (ulong)_page.Address;
}

// A second view of a partition's memory, for an engine that repeats what another one has done (Cpu/Lockstep): the same pages,
// until one of the two writes; then the follower has its own copy of that page.
using Sharpvisor.Core.Interop;

namespace Sharpvisor.Core;

public sealed unsafe partial class GuestMemory
{
    private readonly bool _isShadow;

    private GuestMemory(GuestMemory original)
    {
        _isShadow = true;
        _ram = original._ram;
        _ramBytes = original._ramBytes;
        _maximumLowBytes = original._maximumLowBytes;
        _startBytes = original._startBytes;
        _currentBytes = original._currentBytes;
        LowRamBytes = original.LowRamBytes;
        HighRamBytes = original.HighRamBytes;
        _pageCount = original._pageCount;
        _pages = (ulong*)Map(_pageCount * sizeof(ulong), Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS | Libc.MAP_NORESERVE, -1);
        _codeGeneration = (uint*)Map(_pageCount * sizeof(uint), Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS | Libc.MAP_NORESERVE, -1);
        _chunks = [];
        CopyLayout(original, 0, _pageCount);
    }

    /// <summary>
    /// Called with a GPN before an engine first stores to a page, and, as long as one is set, again after each flush of its TLB.
    /// Null, as always but in lockstep: nobody wants to know. VP threads.
    /// </summary>
    public Action<ulong>? WriteObserver { get; set; }

    /// <summary>Raised by <see cref="NotifyWrite"/>: address and length of what was written. Any thread.</summary>
    public event Action<ulong, ulong>? Written;

    /// <summary>A view with tracking of its own; it must be disposed before this object is.</summary>
    public GuestMemory CreateShadow() => new(this);

    /// <summary>Takes over what lies behind a range of pages of another view.</summary>
    public void CopyLayout(GuestMemory original, ulong gpn, ulong count)
    {
        ArgumentNullException.ThrowIfNull(original);
        ulong end = Math.Min(gpn + count, _pageCount);
        for (ulong page = gpn; page < end; page++)
        {
            Volatile.Write(ref _pages[page], original.PageEntry(page));
        }

        LayoutChanged?.Invoke(gpn, count);
    }

    /// <summary>Puts another host page behind a GPN that has one, without a word to the engine: it must drop its translations.</summary>
    public void Redirect(ulong gpn, byte* host)
    {
        ulong flags = PageEntry(gpn) & (PageBytes - 1);
        ArgumentOutOfRangeException.ThrowIfZero(flags);
        Volatile.Write(ref _pages[gpn], (ulong)host | flags);
    }
}

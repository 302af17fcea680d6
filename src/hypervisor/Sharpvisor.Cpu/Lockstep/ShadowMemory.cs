// The follower's memory: the leader's, but for pages that either of the two has written since they were last compared. Of those the
// follower has a copy as they were before, on which it repeats the writes; then both must be the same.
using System.Runtime.InteropServices;

namespace Sharpvisor.Cpu.Lockstep;

/// <summary>VP thread, except for <see cref="OnWritten"/> and layout changes.</summary>
internal sealed unsafe class ShadowMemory : IDisposable
{
    private const int PageBytes = GuestMemory.PageBytes;
    /// <summary>A device announces what it wrote only afterwards: how long a difference may be one that is being written.</summary>
    private const int SettleMilliseconds = 50;

    private readonly GuestMemory _memory;
    private readonly Func<bool> _guestIsWriting;
    private readonly Dictionary<ulong, nint> _copies = [];
    private readonly Stack<nint> _free = new();
    private readonly List<nint> _slabs = [];
    private readonly List<(ulong Gpn, ulong Count)> _layoutChanges = [];
    private readonly Lock _lock = new();
    private Thread? _vpThread;

    /// <param name="memory">The leader's.</param>
    /// <param name="guestIsWriting">On the VP's thread: the leader is executing, and no device on its behalf.</param>
    public ShadowMemory(GuestMemory memory, Func<bool> guestIsWriting)
    {
        _memory = memory;
        _guestIsWriting = guestIsWriting;
        Follower = memory.CreateShadow();
        Follower.WriteObserver = Separate;
        memory.WriteObserver = Separate;
        memory.Written += OnWritten;
        memory.LayoutChanged += OnLayoutChanged;
    }

    /// <summary>What the follower runs on.</summary>
    public GuestMemory Follower { get; }

    /// <summary>Called with the GPN of a page of which the follower has its own copy from now on.</summary>
    public Action<ulong>? Separated { get; set; }

    /// <summary>Pages to compare.</summary>
    public int Count => _copies.Count;

    /// <summary>The calling thread runs the VP.</summary>
    public void EnterVpThread() => _vpThread = Thread.CurrentThread;

    /// <summary>Takes over pages mapped, unmapped or overlaid meanwhile.</summary>
    public void ApplyLayoutChanges()
    {
        if (_layoutChanges.Count == 0)
        {
            return;
        }

        lock (_lock)
        {
            foreach ((ulong gpn, ulong count) in _layoutChanges)
            {
                for (ulong page = gpn; page < gpn + Math.Min(count, _memory.PageCount); page++)
                {
                    if (_copies.Remove(page, out nint copy))
                    {
                        _free.Push(copy);
                    }
                }

                Follower.CopyLayout(_memory, gpn, count);
                Follower.NotifyWrite(gpn << GuestMemory.PageShift, count << GuestMemory.PageShift);
            }

            _layoutChanges.Clear();
        }
    }

    /// <summary>The first 8 bytes that differ, if any.</summary>
    public (ulong Gpa, ulong Leader, ulong Follower)? FindDifference()
    {
        // Only this thread adds and removes copies; without the lock, which a device that is just writing needs.
        foreach ((ulong gpn, nint copy) in _copies)
        {
            (ulong Gpa, ulong Leader, ulong Follower)? found = Compare(gpn, (byte*)copy);
            for (int waited = 0; found != null && waited < SettleMilliseconds; waited++)
            {
                Thread.Sleep(1);
                found = Compare(gpn, (byte*)copy);
            }

            if (found != null)
            {
                return found;
            }
        }

        return null;
    }

    /// <summary>All is equal: the follower goes back to the leader's pages. Both must drop their translations.</summary>
    public void Rejoin()
    {
        lock (_lock)
        {
            foreach ((ulong gpn, nint copy) in _copies)
            {
                ulong entry = _memory.PageEntry(gpn);
                if ((entry & (PageBytes - 1)) != 0)
                {
                    Follower.Redirect(gpn, (byte*)(entry & ~(ulong)(PageBytes - 1)));
                }

                _free.Push(copy);
            }

            _copies.Clear();
        }
    }

    public void Dispose()
    {
        _memory.WriteObserver = null;
        _memory.Written -= OnWritten;
        _memory.LayoutChanged -= OnLayoutChanged;
        Follower.Dispose();
        foreach (nint slab in _slabs)
        {
            NativeMemory.AlignedFree((void*)slab);
        }
    }

    private void Separate(ulong gpn)
    {
        lock (_lock)
        {
            ulong entry = _memory.PageEntry(gpn);
            if (_copies.ContainsKey(gpn) || (entry & (ulong)PageFlags.Writable) == 0)
            {
                return;
            }

            if (_free.Count == 0)
            {
                Grow();
            }

            // SAFETY: a writable page's host address is valid for 4096 bytes, and so is a copy.
            byte* copy = (byte*)_free.Pop();
            Buffer.MemoryCopy((byte*)(entry & ~(ulong)(PageBytes - 1)), copy, PageBytes, PageBytes);
            _copies.Add(gpn, (nint)copy);
            Follower.Redirect(gpn, copy);
        }

        Separated?.Invoke(gpn);
    }

    private void Grow()
    {
        const int pages = 64;
        byte* slab = (byte*)NativeMemory.AlignedAlloc(pages * PageBytes, PageBytes);
        _slabs.Add((nint)slab);
        for (int i = 0; i < pages; i++)
        {
            _free.Push((nint)(slab + (i * PageBytes)));
        }
    }

    // A device, or the hypervisor, wrote: to the follower it is there at once as well.
    private void OnWritten(ulong gpa, ulong bytes)
    {
        if (Thread.CurrentThread == _vpThread && _guestIsWriting())
        {
            return;
        }

        lock (_lock)
        {
            while (bytes > 0)
            {
                ulong offset = gpa & (PageBytes - 1);
                ulong part = Math.Min(bytes, PageBytes - offset);
                ulong entry = _memory.PageEntry(gpa >> GuestMemory.PageShift);
                if (_copies.TryGetValue(gpa >> GuestMemory.PageShift, out nint copy) && (entry & (ulong)PageFlags.Readable) != 0)
                {
                    Buffer.MemoryCopy((byte*)(entry & ~(ulong)(PageBytes - 1)) + offset, (byte*)copy + offset, part, part);
                }

                Follower.NotifyWrite(gpa, part);
                gpa += part;
                bytes -= part;
            }
        }
    }

    private void OnLayoutChanged(ulong gpn, ulong count)
    {
        lock (_lock)
        {
            _layoutChanges.Add((gpn, count));
        }
    }

    private (ulong Gpa, ulong Leader, ulong Follower)? Compare(ulong gpn, byte* copy)
    {
        ulong entry = _memory.PageEntry(gpn);
        if ((entry & (ulong)PageFlags.Readable) == 0)
        {
            return null;
        }

        byte* page = (byte*)(entry & ~(ulong)(PageBytes - 1));
        int same = new ReadOnlySpan<byte>(page, PageBytes).CommonPrefixLength(new ReadOnlySpan<byte>(copy, PageBytes)) & ~7;
        return same == PageBytes
            ? null
            : ((gpn << GuestMemory.PageShift) + (uint)same, *(ulong*)(page + same), *(ulong*)(copy + same));
    }
}

// Memory of a device that the guest may place in its address space, and move: a frame buffer behind a BAR or at an address that a driver chose.
namespace Sharpvisor.Core;

public sealed unsafe partial class GuestMemory
{
    /// <summary>Allocates zeroed memory that lives as long as the partition's.</summary>
    /// <param name="bytes">A multiple of 4096.</param>
    public SharedMemory CreateSharedMemory(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(bytes % PageBytes, 0);
        var pages = new HostPages(bytes);
        lock (_layoutLock)
        {
            _owned.Add(pages);
        }

        return new SharedMemory(pages);
    }

    /// <summary>Shows shared memory at a guest address where nothing is. It may be shown at several.</summary>
    /// <returns>False, with nothing done, when the range is not page-aligned, lies outside the address space, or has memory already: RAM wins.</returns>
    public bool TryMapShared(ulong gpa, SharedMemory shared)
    {
        ArgumentNullException.ThrowIfNull(shared);
        ulong first = gpa >> PageShift;
        ulong count = (ulong)shared.Length >> PageShift;
        if ((gpa & (PageBytes - 1)) != 0 || first >= _pageCount || count > _pageCount - first)
        {
            return false;
        }

        lock (_layoutLock)
        {
            for (ulong i = 0; i < count; i++)
            {
                if (_pages[first + i] != 0)
                {
                    return false;
                }
            }

            for (ulong i = 0; i < count; i++)
            {
                Volatile.Write(ref _pages[first + i], (shared.HostAddress + (i << PageShift)) | (ulong)(PageFlags.Readable | PageFlags.Writable));
            }
        }

        // Code tracked there belonged to what was there before.
        NotifyWrite(gpa, (ulong)shared.Length);
        LayoutChanged?.Invoke(first, count);
        return true;
    }

    /// <summary>Undoes a <see cref="TryMapShared"/> that returned true.</summary>
    public void UnmapShared(ulong gpa, SharedMemory shared)
    {
        ArgumentNullException.ThrowIfNull(shared);
        NotifyWrite(gpa, (ulong)shared.Length);
        Unmap(gpa, (ulong)shared.Length);
    }
}

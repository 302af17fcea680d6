// RAM that comes while the VM runs: memory hot add. The host address space for the most there may be is reserved at the start; until then
// the guest finds nothing there. RAM has one order, from address 0 around the 32-bit hole, and grows at its end.
using Sharpvisor.Core.Interop;

namespace Sharpvisor.Core;

public sealed unsafe partial class GuestMemory
{
    private readonly ulong _maximumLowBytes;
    private readonly ulong _startBytes;
    private ulong _currentBytes;

    /// <summary>What RAM may grow to, in bytes.</summary>
    public ulong MaximumBytes => _ramBytes;

    /// <summary>The RAM there is now, in bytes, what was hot-added included.</summary>
    public ulong RamBytes => Volatile.Read(ref _currentBytes);

    /// <summary>The end of the address space RAM may take, above 4 GiB: 0 when it all fits below.</summary>
    public ulong MaximumHighRamBytes => _ramBytes - _maximumLowBytes;

    /// <summary>Adds zeroed RAM at the end of what there is, up to the hole below 4 GiB or the maximum.</summary>
    /// <param name="bytes">A multiple of 4096, the most to add.</param>
    /// <param name="gpa">Where it begins.</param>
    /// <param name="added">How much was added. Call again for what is on the other side of the hole.</param>
    /// <returns>False, with nothing done, when RAM is at its maximum or something else is mapped there.</returns>
    public bool TryGrow(ulong bytes, out ulong gpa, out ulong added)
    {
        lock (_layoutLock)
        {
            ulong offset = _currentBytes;
            ulong end = offset < _maximumLowBytes ? _maximumLowBytes : _ramBytes;
            added = Math.Min(bytes & ~(ulong)(PageBytes - 1), end - offset);
            gpa = GpaOf(offset);
            for (ulong done = 0; done < added; done += PageBytes)
            {
                if (_pages[(gpa + done) >> PageShift] != 0)
                {
                    added = 0;
                }
            }

            if (added == 0)
            {
                return false;
            }

            for (ulong done = 0; done < added; done += PageBytes)
            {
                Volatile.Write(ref _pages[(gpa + done) >> PageShift], RamEntry(offset + done));
            }

            Volatile.Write(ref _currentBytes, offset + added);
        }

        LayoutChanged?.Invoke(gpa >> PageShift, added >> PageShift);
        return true;
    }

    /// <summary>
    /// Takes hot-added RAM away again, from its end down to <paramref name="ramBytes"/> or what the VM started with: the guest did not want it,
    /// or was reset. Its content goes back to the host.
    /// </summary>
    public void Shrink(ulong ramBytes)
    {
        ulong first;
        ulong last;
        lock (_layoutLock)
        {
            first = Math.Max(ramBytes & ~(ulong)(PageBytes - 1), _startBytes);
            last = _currentBytes;
            if (first >= last)
            {
                return;
            }

            for (ulong offset = first; offset < last; offset += PageBytes)
            {
                ulong gpn = GpaOf(offset) >> PageShift;
                if (_coveredByOverlay.ContainsKey(gpn))
                {
                    _coveredByOverlay[gpn] = 0;
                }
                else
                {
                    Volatile.Write(ref _pages[gpn], 0);
                }
            }

            Volatile.Write(ref _currentBytes, first);
        }

        LayoutChanged?.Invoke(GpaOf(first) >> PageShift, (GpaOf(last - PageBytes) - GpaOf(first) + PageBytes) >> PageShift);
        // SAFETY: the range lies in _ram. What a device or VP still writes there goes into pages that are nobody's.
        _ = Libc.madvise(_ram + first, (nuint)(last - first), Libc.MADV_REMOVE);
    }

    private ulong GpaOf(ulong offset) => offset < _maximumLowBytes ? offset : offset - _maximumLowBytes + HighRamBase;

    private ulong RamEntry(ulong offset) => (ulong)(_ram + offset) | (ulong)(PageFlags.Readable | PageFlags.Writable);
}

// A direct-mapped TLB for one kind of access (user, supervisor, supervisor with user pages closed by SMAP), and a log of the
// slots in use, so that a flush costs what was filled and not what could be.
using System.Runtime.InteropServices;

namespace Sharpvisor.Cpu.Mmu;

/// <summary>One set of slots; owned by one VP's thread.</summary>
internal sealed unsafe class TlbSet : IDisposable
{
    public const int SlotBits = 10;
    public const int Slots = 1 << SlotBits;
    /// <summary>(linear >> 7) &amp; this is a slot's byte offset: 32-byte slots, 4096-byte pages.</summary>
    public const ulong OffsetMask = (Slots - 1) << 5;

    private readonly TlbInfo* _info;
    private readonly ushort* _log;
    private int _logged;
    private bool _hasLarge;

    public TlbSet()
    {
        Entries = (TlbEntry*)NativeMemory.AlignedAlloc((nuint)(Slots * sizeof(TlbEntry)), 4096);
        _info = (TlbInfo*)NativeMemory.AlignedAlloc((nuint)(Slots * sizeof(TlbInfo)), 64);
        _log = (ushort*)NativeMemory.AlignedAlloc(Slots * sizeof(ushort), 64);
        for (int i = 0; i < Slots; i++)
        {
            Drop(i);
            _info[i] = new TlbInfo { NotifyTag = TlbEntry.InvalidFor(i), LinearPage = ulong.MaxValue };
        }
    }

    public TlbEntry* Entries { get; }

    public static int SlotOf(ulong linear) => (int)(linear >> 12) & (Slots - 1);

    /// <summary>The slot of an address and what is known about it.</summary>
    public TlbEntry* Lookup(ulong linear, out TlbInfo* info)
    {
        int slot = SlotOf(linear);
        info = &_info[slot];
        return &Entries[slot];
    }

    /// <summary>Marks a slot as in use, before it is filled.</summary>
    public void Log(ulong linear, byte pageShift, bool global, ulong gpn)
    {
        int slot = SlotOf(linear);
        TlbInfo* info = &_info[slot];
        info->LinearPage = linear >> 12;
        info->Gpn = gpn;
        info->PageShift = pageShift;
        info->Global = global;
        _hasLarge |= pageShift > 12;
        if (!info->Logged)
        {
            info->Logged = true;
            _log[_logged++] = (ushort)slot;
        }
    }

    public void FlushAll()
    {
        for (int i = 0; i < _logged; i++)
        {
            int slot = _log[i];
            Drop(slot);
            _info[slot].Logged = false;
        }

        _logged = 0;
        _hasLarge = false;
    }

    public void FlushNonGlobal()
    {
        int kept = 0;
        for (int i = 0; i < _logged; i++)
        {
            ushort slot = _log[i];
            if (_info[slot].Global)
            {
                _log[kept++] = slot;
            }
            else
            {
                Drop(slot);
                _info[slot].Logged = false;
            }
        }

        _logged = kept;
    }

    /// <summary>Drops what INVLPG must: the whole page that holds the address, however large (Intel SDM Vol. 3A, 4.10.4.1).</summary>
    public void InvalidatePage(ulong linear)
    {
        ulong page = linear >> 12;
        int slot = SlotOf(linear);
        if (_info[slot].LinearPage == page)
        {
            Drop(slot);
        }

        if (!_hasLarge)
        {
            return;
        }

        for (int i = 0; i < _logged; i++)
        {
            TlbInfo* info = &_info[_log[i]];
            int shift = info->PageShift - 12;
            if (shift > 0 && info->LinearPage >> shift == page >> shift)
            {
                Drop(_log[i]);
            }
        }
    }

    /// <summary>Makes every write to a guest page take the slow path again: code was found on it.</summary>
    public void DropWrites(ulong gpn)
    {
        for (int i = 0; i < _logged; i++)
        {
            int slot = _log[i];
            if (_info[slot].Gpn == gpn)
            {
                Entries[slot].WriteTag = TlbEntry.InvalidFor(slot);
            }
        }
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(Entries);
        NativeMemory.AlignedFree(_info);
        NativeMemory.AlignedFree(_log);
    }

    private void Drop(int slot)
    {
        TlbEntry* entry = &Entries[slot];
        ulong invalid = TlbEntry.InvalidFor(slot);
        entry->ReadTag = invalid;
        entry->WriteTag = invalid;
        entry->ExecKey = 0;
        _info[slot].NotifyTag = invalid;
        _info[slot].LinearPage = ulong.MaxValue;
    }
}

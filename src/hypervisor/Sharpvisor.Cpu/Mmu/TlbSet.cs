// A direct-mapped TLB for one kind of access (user, supervisor, supervisor with user pages closed by SMAP), and a log of the
// slots in use, so that a flush costs what was filled and not what could be.
using System.Runtime.InteropServices;

namespace Sharpvisor.Cpu.Mmu;

/// <summary>One set of slots; owned by one VP's thread.</summary>
internal sealed unsafe class TlbSet : IDisposable
{
    public const int SlotBits = 14;
    public const int Slots = 1 << SlotBits;
    /// <summary>(linear >> 7) &amp; this is a slot's byte offset: 32-byte slots, 4096-byte pages.</summary>
    public const ulong OffsetMask = (Slots - 1) << 5;

    private readonly TlbInfo* _info;
    // Slots filled since the last flush, those of global pages apart: a CR3 load is frequent and leaves them.
    private readonly ushort* _log;
    private readonly ushort* _globalLog;
    private readonly CodeEntry* _code;
    private readonly ushort* _codeLog;
    private int _codes;
    private int _logged;
    private int _globals;
    /// <summary>A bit per gigabyte, hashed: pages above 4 KiB were filled there.</summary>
    private ulong _largeRegions;

    public TlbSet()
    {
        Entries = (TlbEntry*)NativeMemory.AlignedAlloc((nuint)(Slots * (sizeof(TlbEntry) + sizeof(CodeEntry))), 4096);
        _code = (CodeEntry*)(Entries + Slots);
        NativeMemory.Clear(_code, (nuint)(Slots * sizeof(CodeEntry)));
        _codeLog = (ushort*)NativeMemory.AlignedAlloc(Slots * sizeof(ushort), 64);
        _info = (TlbInfo*)NativeMemory.AlignedAlloc((nuint)(Slots * sizeof(TlbInfo)), 64);
        _log = (ushort*)NativeMemory.AlignedAlloc(Slots * sizeof(ushort), 64);
        _globalLog = (ushort*)NativeMemory.AlignedAlloc(Slots * sizeof(ushort), 64);
        for (int i = 0; i < Slots; i++)
        {
            Drop(i);
            _info[i] = new TlbInfo { NotifyTag = TlbEntry.InvalidFor(i), LinearPage = ulong.MaxValue };
        }
    }

    /// <summary>Behind them follow the <see cref="CodeEntry"/>s, as many.</summary>
    public TlbEntry* Entries { get; }

    public const int CodeOffset = Slots << 5;

    public static int SlotOf(ulong linear) => (int)(linear >> 12) & (Slots - 1);

    /// <summary>The slot of an address and what is known about it.</summary>
    public TlbEntry* Lookup(ulong linear, out TlbInfo* info)
    {
        int slot = SlotOf(linear);
        info = &_info[slot];
        return &Entries[slot];
    }

    /// <summary>The entry for fetches; good when its key is that of the address.</summary>
    public CodeEntry* LookupCode(ulong linear) => _code + SlotOf(linear);

    public void FillCode(ulong linear, ulong hostPage, ulong gpn, byte pageShift, bool global)
    {
        int slot = SlotOf(linear);
        CodeEntry* entry = _code + slot;
        entry->Key = CodeEntry.KeyOf(linear, hostPage);
        entry->HostPage = hostPage;
        entry->LinearPage = linear >> 12;
        entry->Gpn = gpn;
        entry->Global = global;
        if (pageShift > 12)
        {
            _largeRegions |= RegionBit(linear);
        }

        if (!entry->InLog)
        {
            entry->InLog = true;
            _codeLog[_codes++] = (ushort)slot;
        }
    }

    private void FlushCode(bool global)
    {
        int kept = 0;
        for (int i = 0; i < _codes; i++)
        {
            CodeEntry* entry = _code + _codeLog[i];
            if (entry->Global && !global)
            {
                _codeLog[kept++] = _codeLog[i];
            }
            else
            {
                entry->Key = 0;
                entry->InLog = false;
            }
        }

        _codes = kept;
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
        if (pageShift > 12)
        {
            _largeRegions |= RegionBit(linear);
        }

        if (global && !info->InGlobalLog)
        {
            info->InGlobalLog = true;
            _globalLog[_globals++] = (ushort)slot;
        }
        else if (!global && !info->InLog)
        {
            info->InLog = true;
            _log[_logged++] = (ushort)slot;
        }
    }

    public void FlushAll()
    {
        for (int i = 0; i < _globals; i++)
        {
            int slot = _globalLog[i];
            Drop(slot);
            _info[slot].InGlobalLog = false;
        }

        _globals = 0;
        FlushNonGlobal();
        FlushCode(global: true);
        _largeRegions = 0;
    }

    public void FlushNonGlobal()
    {
        for (int i = 0; i < _logged; i++)
        {
            int slot = _log[i];
            _info[slot].InLog = false;
            if (!_info[slot].Global)
            {
                Drop(slot);
            }
        }

        _logged = 0;
        FlushCode(global: false);
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

        _code[slot].Key = 0;
        if ((_largeRegions & RegionBit(linear)) == 0)
        {
            return;
        }

        FlushCode(global: true);

        InvalidateLarge(page, _log, _logged);
        InvalidateLarge(page, _globalLog, _globals);
    }

    /// <summary>Makes every write to a guest page take the slow path again: code was found on it.</summary>
    public void DropWrites(ulong gpn)
    {
        DropWrites(gpn, _log, _logged);
        DropWrites(gpn, _globalLog, _globals);
    }

    /// <summary>Drops the translations to a guest page.</summary>
    public void DropPage(ulong gpn)
    {
        DropPage(gpn, _log, _logged);
        DropPage(gpn, _globalLog, _globals);
        for (int i = 0; i < _codes; i++)
        {
            CodeEntry* entry = _code + _codeLog[i];
            if (entry->Gpn == gpn)
            {
                entry->Key = 0;
            }
        }
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(Entries);
        NativeMemory.AlignedFree(_info);
        NativeMemory.AlignedFree(_log);
        NativeMemory.AlignedFree(_globalLog);
        NativeMemory.AlignedFree(_codeLog);
    }

    private static ulong RegionBit(ulong linear) => 1UL << (int)((linear >> 30) & 63);

    private void InvalidateLarge(ulong page, ushort* log, int count)
    {
        for (int i = 0; i < count; i++)
        {
            TlbInfo* info = &_info[log[i]];
            int shift = info->PageShift - 12;
            if (shift > 0 && info->LinearPage >> shift == page >> shift)
            {
                Drop(log[i]);
            }
        }
    }

    private void DropPage(ulong gpn, ushort* log, int count)
    {
        for (int i = 0; i < count; i++)
        {
            if (_info[log[i]].Gpn == gpn)
            {
                Drop(log[i]);
            }
        }
    }

    private void DropWrites(ulong gpn, ushort* log, int count)
    {
        for (int i = 0; i < count; i++)
        {
            int slot = log[i];
            if (_info[slot].Gpn == gpn)
            {
                Entries[slot].WriteTag = TlbEntry.InvalidFor(slot);
            }
        }
    }

    private void Drop(int slot)
    {
        TlbEntry* entry = &Entries[slot];
        ulong invalid = TlbEntry.InvalidFor(slot);
        entry->ReadTag = invalid;
        entry->WriteTag = invalid;
        _info[slot].NotifyTag = invalid;
        _info[slot].LinearPage = ulong.MaxValue;
    }
}

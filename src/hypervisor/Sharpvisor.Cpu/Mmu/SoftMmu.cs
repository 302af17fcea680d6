// One VP's memory management unit: the TLB sets, when they are flushed, and the slow paths of every access.
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Mmu;

/// <summary>Owned by one VP's thread, except where said.</summary>
internal sealed unsafe class SoftMmu : IDisposable
{
    private readonly Vp _vp;
    private readonly VpState* _s;
    private readonly EngineBlock* _block;
    private readonly GuestMemory _memory;
    private readonly TlbSet _user = new();
    private readonly TlbSet _supervisor = new();
    private readonly TlbSet _userPagesClosed = new();
    // Never filled: every access takes the slow path, where breakpoints and alignment are checked.
    private readonly TlbSet _checked = new();
    private TlbSet _current;
    private long _misses;
    private long _flushes;
    private TlbSet _system;

    /// <param name="vp">Its State, Memory and EnginePrivate block must exist already.</param>
    public SoftMmu(Vp vp)
    {
        _vp = vp;
        _s = vp.State;
        _memory = vp.Memory;
        _block = EngineBlock.Of(_s);
        _current = _supervisor;
        _system = _supervisor;
        UpdateContext();
    }

    private bool UserPagesClosed => _s->Cpl < 3 && (_s->Cr4 & Cr4.SMAP) != 0 && (_s->RFlags & RFlag.AC) == 0;

    /// <summary>Page walks.</summary>
    public long Misses => _misses;

    /// <summary>CR3 loads and whole flushes.</summary>
    public long Flushes => _flushes;

    /// <summary>Selects the TLB set: call after CPL, RFLAGS.AC, CR4.SMAP, CR0.AM or DR7 changed.</summary>
    public void UpdateContext()
    {
        bool user = _s->Cpl == 3;
        TlbSet data = user ? _user : UserPagesClosed ? _userPagesClosed : _supervisor;
        bool alignment = user && (_s->Cr0 & Cr0.AM) != 0 && (_s->RFlags & RFlag.AC) != 0;
        bool breakpoints = DebugRegisters.ArmsData(_s);
        _block->CheckedAccesses = (alignment ? 1u : 0) | (breakpoints ? 2u : 0);
        _block->Stepping = (breakpoints || DebugRegisters.ArmsIo(_s) ? EngineBlock.StepsForTraps : 0)
            | (DebugRegisters.ArmsExecution(_s) ? EngineBlock.StepsForExecution : 0);
        _current = data;
        _block->Tlb = _block->CheckedAccesses != 0 ? _checked.Entries : data.Entries;
        _block->OpenTlb = _supervisor.Entries;
        _block->ClosedTlb = _userPagesClosed.Entries;
        _block->AcSelectsTlb = _s->Cpl == 0 && (_s->Cr4 & Cr4.SMAP) != 0 && _block->CheckedAccesses == 0 ? 1u : 0;
        _block->ContextStale = 0;
        _system = (_s->Cr4 & Cr4.SMAP) != 0 ? _userPagesClosed : _supervisor;
        _block->SystemTlb = breakpoints ? _checked.Entries : _system.Entries;
    }

    /// <summary>Drops every translation: CR0, CR4 and EFER changes, INVPCID types 2, memory layout changes.</summary>
    public void FlushAll()
    {
        _flushes++;
        _user.FlushAll();
        _supervisor.FlushAll();
        _userPagesClosed.FlushAll();
        _block->TlbGeneration++;
    }

    /// <summary>What a CR3 load drops (Intel SDM Vol. 3A, 4.10.4.1).</summary>
    public void FlushNonGlobal()
    {
        _flushes++;
        _user.FlushNonGlobal();
        _supervisor.FlushNonGlobal();
        _userPagesClosed.FlushNonGlobal();
        _block->TlbGeneration++;
    }

    /// <summary>INVLPG.</summary>
    public void InvalidatePage(ulong linear)
    {
        _user.InvalidatePage(linear);
        _supervisor.InvalidatePage(linear);
        _userPagesClosed.InvalidatePage(linear);
        _block->TlbGeneration++;
    }

    /// <summary>
    /// Code was found on a guest page: from now on every store to it takes the slow path. On the VP's thread, or while the VP
    /// does not run.
    /// </summary>
    public void DropWrites(ulong gpn)
    {
        _user.DropWrites(gpn);
        _supervisor.DropWrites(gpn);
        _userPagesClosed.DropWrites(gpn);
    }

    /// <summary>Drops every translation to a guest page: another host page is behind it now.</summary>
    public void DropPage(ulong gpn)
    {
        _user.DropPage(gpn);
        _supervisor.DropPage(gpn);
        _userPagesClosed.DropPage(gpn);
    }

    /// <summary>Instruction fetch at the current privilege.</summary>
    public bool TranslateCode(ulong linear, out ulong gpa, out byte* host)
    {
        if (!Canonical(linear))
        {
            gpa = 0;
            host = null;
            return Faults.Record(_s, Vector.GP, 0);
        }

        CodeEntry* entry = _current.LookupCode(linear);
        if (entry->Key != 0 && entry->LinearPage == linear >> 12)
        {
            gpa = (entry->Gpn << 12) | (linear & 0xFFF);
            host = (byte*)(entry->HostPage + (linear & 0xFFF));
            return true;
        }

        var request = new WalkRequest(linear, Write: false, Fetch: true, User: _s->Cpl == 3, UserPagesClosed);
        if (!Fill(_current, request, raise: true, out gpa, out _))
        {
            host = null;
            return false;
        }

        ulong page = _memory.PageEntry(gpa >> 12);
        host = (page & (ulong)PageFlags.Readable) == 0 ? null : (byte*)(page & ~0xFFFUL) + (gpa & 0xFFF);
        return true;
    }

    /// <summary>Makes sure of the fetch entry of a page that code is about to run on.</summary>
    public void RefillCode(ulong linear)
    {
        CodeEntry* entry = _current.LookupCode(linear);
        if (entry->Key == 0 || entry->LinearPage != linear >> 12)
        {
            var request = new WalkRequest(linear, Write: false, Fetch: true, User: _s->Cpl == 3, UserPagesClosed);
            _ = Fill(_current, request, raise: false, out _, out _);
        }
    }

    /// <summary>Any read, with all checks. With <paramref name="forWrite"/> the write permission is checked as well.</summary>
    public bool Read(ulong linear, byte* destination, int bytes, AccessKind kind, bool forWrite)
    {
        if (!Check(linear, bytes, kind, forWrite))
        {
            return false;
        }

        int first = Math.Min(bytes, 4096 - ((int)linear & 0xFFF));
        if (!Translate(linear, forWrite, kind, out ulong gpa))
        {
            return false;
        }

        if (first == bytes)
        {
            ReadPhysical(gpa, destination, bytes);
            return true;
        }

        if (!Translate(Wrap(linear + (uint)first), forWrite, kind, out ulong second))
        {
            return false;
        }

        ReadPhysical(gpa, destination, first);
        ReadPhysical(second, destination + first, bytes - first);
        return true;
    }

    /// <summary>Any write, with all checks: both pages of a crossing are translated before the first byte changes.</summary>
    public bool Write(ulong linear, byte* source, int bytes, AccessKind kind)
    {
        if (!Check(linear, bytes, kind, write: true))
        {
            return false;
        }

        int first = Math.Min(bytes, 4096 - ((int)linear & 0xFFF));
        if (!Translate(linear, write: true, kind, out ulong gpa))
        {
            return false;
        }

        if (first == bytes)
        {
            WritePhysical(gpa, source, bytes);
            return true;
        }

        if (!Translate(Wrap(linear + (uint)first), write: true, kind, out ulong second))
        {
            return false;
        }

        WritePhysical(gpa, source, first);
        WritePhysical(second, source + first, bytes - first);
        return true;
    }

    /// <summary>See <see cref="GuestAccess.Atomic{T}(VpState*, ulong, out bool)"/>.</summary>
    public byte* Atomic(ulong linear, int bytes, out bool faulted)
    {
        faulted = true;
        if (!Check(linear, bytes, AccessKind.Data, write: true)
            || !Translate(linear, write: true, AccessKind.Data, out ulong gpa))
        {
            return null;
        }

        if (((int)linear & 0xFFF) + bytes > 4096)
        {
            faulted = !Translate(Wrap((linear | 0xFFF) + 1), write: true, AccessKind.Data, out _);
            return null;
        }

        faulted = false;
        _memory.WriteObserver?.Invoke(gpa >> 12);
        ulong page = _memory.PageEntry(gpa >> 12);
        if ((page & (ulong)PageFlags.Writable) == 0)
        {
            return null;
        }

        // Announced before it happens: the generation that a block is checked against changes either way, and a locked
        // operation that patches code another processor runs is cross-modifying code (Intel SDM Vol. 3A, 8.1.3), which
        // promises nothing without a serialising instruction over there.
        Announce(gpa, bytes);
        return (byte*)(page & ~0xFFFUL) + (gpa & 0xFFF);
    }

    /// <summary>See <see cref="GuestAccess.ReadRun"/>.</summary>
    public byte* Run(ulong linear, bool write, out int bytes)
    {
        bytes = 0;
        if (_block->CheckedAccesses != 0 || !Canonical(linear))
        {
            return null;
        }

        ulong gpa;
        TlbEntry* entry = _current.Lookup(linear, out TlbInfo* info);
        if (write && info->NotifyTag == (linear & ~0xFFFUL))
        {
            gpa = (info->Gpn << 12) | (linear & 0xFFF);
        }
        else
        {
            var request = new WalkRequest(linear, write, Fetch: false, User: _s->Cpl == 3, UserPagesClosed);
            if (!Fill(_current, request, raise: false, out gpa, out _))
            {
                return null;
            }
        }

        if (write)
        {
            _memory.WriteObserver?.Invoke(gpa >> 12);
        }

        ulong page = _memory.PageEntry(gpa >> 12);
        if ((page & (ulong)(write ? PageFlags.Writable : PageFlags.Readable)) == 0)
        {
            return null;
        }

        if (write && _memory.CodeGeneration(gpa >> 12) != 0)
        {
            // Element by element, each announced after it was written.
            return null;
        }

        bytes = 4096 - ((int)linear & 0xFFF);
        return (byte*)(page & ~0xFFFUL) + (gpa & 0xFFF);
    }

    /// <summary>Translates without touching the tables or the TLB; for debuggers and tests. False: not mapped.</summary>
    public bool Peek(ulong linear, out ulong gpa)
    {
        var request = new WalkRequest(linear, Write: false, Fetch: false, User: false, UserPagesClosed: false);
        bool mapped = PageWalk.Walk(_s, _memory, request, setBits: false, out WalkResult result, out _);
        gpa = result.Gpa;
        return mapped;
    }

    public void Dispose()
    {
        _user.Dispose();
        _supervisor.Dispose();
        _userPagesClosed.Dispose();
        _checked.Dispose();
    }

    private bool Translate(ulong linear, bool write, AccessKind kind, out ulong gpa)
    {
        bool system = kind == AccessKind.System;
        TlbSet set = system ? _system : _current;
        TlbEntry* entry = set.Lookup(linear, out TlbInfo* info);
        ulong page = linear & ~0xFFFUL;
        if (write ? entry->WriteTag == page || info->NotifyTag == page : entry->ReadTag == page)
        {
            gpa = (info->Gpn << 12) | (linear & 0xFFF);
            return true;
        }

        var request = new WalkRequest(
            linear,
            write,
            Fetch: false,
            User: !system && _s->Cpl == 3,
            system ? (_s->Cr4 & Cr4.SMAP) != 0 : UserPagesClosed);
        return Fill(set, request, raise: true, out gpa, out _);
    }

    // Walks and enters the result into a TLB set, with every access that the page allows, not just the one asked for (but for
    // writes that somebody wants to know about).
    private bool Fill(TlbSet set, in WalkRequest request, bool raise, out ulong gpa, out WalkResult result)
    {
        _misses++;
        if (!PageWalk.Walk(_s, _memory, request, setBits: true, out result, out uint errorCode))
        {
            gpa = 0;
            if (raise)
            {
                Faults.RecordPageFault(_s, request.Linear, errorCode);
            }

            return false;
        }

        gpa = result.Gpa;
        if (request.Write)
        {
            _memory.WriteObserver?.Invoke(gpa >> 12);
        }

        ulong host = _memory.PageEntry(gpa >> 12);
        if ((host & (ulong)PageFlags.Readable) == 0)
        {
            return true;
        }

        ulong page = request.Linear & ~0xFFFUL;
        if (request.Fetch)
        {
            set.FillCode(page, host & ~0xFFFUL, gpa >> 12, result.PageShift, result.Global);
            return true;
        }

        TlbEntry* entry = set.Lookup(page, out TlbInfo* info);
        set.Log(page, result.PageShift, result.Global, gpa >> 12);
        entry->HostPage = host & ~0xFFFUL;

        bool data = request.User ? result.UserPage : !(result.UserPage && request.UserPagesClosed);
        bool write = data && result.Dirty && (request.Write || _memory.WriteObserver == null) && (host & (ulong)PageFlags.Writable) != 0
            && (result.Writable || (!request.User && (_s->Cr0 & Cr0.WP) == 0));
        bool tracked = _memory.CodeGeneration(gpa >> 12) != 0;
        ulong invalid = TlbEntry.InvalidFor(TlbSet.SlotOf(page));
        entry->ReadTag = data ? page : invalid;
        entry->WriteTag = write && !tracked ? page : invalid;
        info->NotifyTag = write && tracked ? page : invalid;
        return true;
    }

    private bool Check(ulong linear, int bytes, AccessKind kind, bool write)
    {
        if (!Canonical(linear) || !Canonical(linear + (uint)bytes - 1))
        {
            return Faults.RecordNonCanonical(_s);
        }

        if (_block->CheckedAccesses == 0)
        {
            return true;
        }

        // Intel SDM Vol. 3A, 6.15 #AC: only at CPL 3, only explicit accesses.
        if (kind == AccessKind.Data && (_block->CheckedAccesses & 1) != 0 && (linear & (ulong)(Math.Min(bytes, 8) - 1)) != 0)
        {
            return Faults.Record(_s, Vector.AC, 0);
        }

        DebugRegisters.MatchData(_s, linear, bytes, write);
        return true;
    }

    private bool Canonical(ulong linear)
        => (_s->Efer & Efer.LMA) == 0 || (linear + 0x8000_0000_0000UL) >> 48 == 0;

    private ulong Wrap(ulong linear) => (_s->Efer & Efer.LMA) == 0 ? (uint)linear : linear;

    private void ReadPhysical(ulong gpa, byte* destination, int bytes)
    {
        ulong page = _memory.PageEntry(gpa >> 12);
        if ((page & (ulong)PageFlags.Readable) != 0)
        {
            Copy((byte*)(page & ~0xFFFUL) + (gpa & 0xFFF), destination, bytes);
            return;
        }

        while (bytes > 0)
        {
            int part = MmioPart(bytes);
            ulong value = _vp.Intercepts.ReadMmio(gpa, part);
            Buffer.MemoryCopy(&value, destination, part, part);
            gpa += (uint)part;
            destination += part;
            bytes -= part;
        }
    }

    private void WritePhysical(ulong gpa, byte* source, int bytes)
    {
        _memory.WriteObserver?.Invoke(gpa >> 12);
        ulong page = _memory.PageEntry(gpa >> 12);
        if ((page & (ulong)PageFlags.Writable) != 0)
        {
            Copy(source, (byte*)(page & ~0xFFFUL) + (gpa & 0xFFF), bytes);
            Announce(gpa, bytes);
            return;
        }

        while (bytes > 0)
        {
            int part = MmioPart(bytes);
            ulong value = 0;
            Buffer.MemoryCopy(source, &value, part, part);
            _vp.Intercepts.WriteMmio(gpa, part, value);
            gpa += (uint)part;
            source += part;
            bytes -= part;
        }
    }

    private void Announce(ulong gpa, int bytes)
    {
        if (_memory.CodeGeneration(gpa >> 12) != 0)
        {
            _memory.NotifyWrite(gpa, (ulong)bytes);
            _vp.CodeWritten(gpa, bytes);
        }
    }

    // One host access for the sizes whose atomicity the architecture promises.
    private static void Copy(byte* source, byte* destination, int bytes)
    {
        switch (bytes)
        {
            case 1:
                *destination = *source;
                break;
            case 2:
                *(ushort*)destination = *(ushort*)source;
                break;
            case 4:
                *(uint*)destination = *(uint*)source;
                break;
            case 8:
                *(ulong*)destination = *(ulong*)source;
                break;
            default:
                Buffer.MemoryCopy(source, destination, bytes, bytes);
                break;
        }
    }

    private static int MmioPart(int bytes) => bytes >= 8 ? 8 : bytes >= 4 ? 4 : bytes >= 2 ? 2 : 1;
}

// One software TLB entry. The hit test is one compare: the address of the access's last byte, cut to its page, must equal
// the tag of the first byte's slot, which also rejects accesses that cross a page.
using System.Runtime.InteropServices;

namespace Sharpvisor.Cpu.Mmu;

/// <summary>A cached translation of one 4 KiB page; 32 bytes, so that a slot's offset is a shift and a mask.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct TlbEntry
{
    /// <summary>
    /// A tag no access in this slot matches: odd, so that it equals no page address, and of another slot's page, so that
    /// translated code (tag ^ address below 4096) never takes it for a hit either.
    /// </summary>
    public static ulong InvalidFor(int slot) => ((ulong)(uint)(slot ^ 1) << 12) | 1;

    /// <summary>Linear page address when data reads may go straight to host memory.</summary>
    public ulong ReadTag;
    /// <summary>The same for data writes: writable, dirty already set, host page writable, no code tracked on it.</summary>
    public ulong WriteTag;
    /// <summary>The host's page.</summary>
    public ulong HostPage;
    private readonly ulong _padding;
}

/// <summary>A cached translation for instruction fetches, apart from those for data: neither displaces the other.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CodeEntry
{
    /// <summary>See <see cref="KeyOf"/>; 0 when nothing is cached.</summary>
    public ulong Key;
    public ulong HostPage;
    public ulong LinearPage;
    private ulong _gpnAndState;

    public ulong Gpn
    {
        readonly get => _gpnAndState >> 8;
        set => _gpnAndState = (_gpnAndState & 0xFF) | (value << 8);
    }

    /// <summary>Survives a CR3 load.</summary>
    public bool Global
    {
        readonly get => (_gpnAndState & 1) != 0;
        set => _gpnAndState = value ? _gpnAndState | 1 : _gpnAndState & ~1UL;
    }

    /// <summary>The slot is in the set's log of used slots.</summary>
    public bool InLog
    {
        readonly get => (_gpnAndState & 2) != 0;
        set => _gpnAndState = value ? _gpnAndState | 2 : _gpnAndState & ~2UL;
    }

    /// <summary>
    /// Names a linear page and the host page behind it, uniquely among the linear pages of one slot: translated code proves with
    /// one compare that an address still leads to the code it led to before.
    /// </summary>
    public static ulong KeyOf(ulong linear, ulong host) => ((linear >> 22) << 36) | (host >> 12);
}

/// <summary>What the hit path does not need to know about a translation.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct TlbInfo
{
    /// <summary>Linear page address when writes are permitted but must be announced (code is tracked on the page).</summary>
    public ulong NotifyTag;
    /// <summary>Guest page number.</summary>
    public ulong Gpn;
    /// <summary>Linear page number, whichever accesses are allowed.</summary>
    public ulong LinearPage;
    /// <summary>log2 of the page's size: 12, 21, 22 or 30.</summary>
    public byte PageShift;
    /// <summary>Survives a CR3 load.</summary>
    public bool Global;
    /// <summary>The slot is in the set's log of used slots.</summary>
    public bool InLog;
    public bool InGlobalLog;
}

// The page walk of every paging mode: Intel SDM Vol. 3A, chapter 4. Pure with respect to TLBs; accessed and dirty bits are set
// in the tables with interlocked operations, as other processors and the guest's own locked instructions require.
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Mmu;

/// <summary>What a walk is for.</summary>
internal readonly record struct WalkRequest(ulong Linear, bool Write, bool Fetch, bool User, bool UserPagesClosed);

/// <summary>A finished walk.</summary>
internal struct WalkResult
{
    public ulong Gpa;
    public byte PageShift;
    public bool Global;
    public bool UserPage;
    public bool Writable;
    public bool NoExecute;
    public bool Dirty;
}

/// <summary>Walks the guest's tables. Static: everything it needs is in VP state and guest memory.</summary>
internal static unsafe class PageWalk
{
    public const uint Present = 1;
    public const uint WriteAccess = 2;
    public const uint UserAccess = 4;
    public const uint ReservedBit = 8;
    public const uint FetchAccess = 16;

    private const ulong P = 1;
    private const ulong W = 2;
    private const ulong U = 4;
    private const ulong A = 0x20;
    private const ulong D = 0x40;
    private const ulong Ps = 0x80;
    private const ulong G = 0x100;
    private const ulong Nx = 1UL << 63;
    private const ulong FrameMask = 0x000F_FFFF_FFFF_F000;

    /// <summary>Outcome of looking at one level.</summary>
    private enum Step
    {
        Fault,
        Retry,
        Done,
    }

    /// <summary>Translates. False: <paramref name="errorCode"/> is the page fault's.</summary>
    /// <param name="setBits">False for a look that must leave no trace in the tables.</param>
    public static bool Walk(VpState* s, GuestMemory memory, in WalkRequest request, bool setBits, out WalkResult result, out uint errorCode)
    {
        if ((s->Cr0 & Cr0.PG) == 0)
        {
            result = new WalkResult
            {
                Gpa = (uint)request.Linear,
                PageShift = 12,
                Writable = true,
                UserPage = true,
                Dirty = true,
            };
            errorCode = 0;
            return true;
        }

        // Another processor may change an entry between our read and our update of its accessed bit: start over then. Bounded,
        // because a guest could keep changing it; the last try accepts what it saw, as hardware that read it earlier would.
        for (int tries = 0; ; tries++)
        {
            Step step = (s->Cr4 & Cr4.PAE) != 0
                ? WalkWide(s, memory, request, setBits, tries > 64, out result, out errorCode)
                : WalkNarrow(s, memory, request, setBits, tries > 64, out result, out errorCode);
            if (step != Step.Retry)
            {
                return step == Step.Done;
            }
        }
    }

    // 4.4 (PAE) and 4.5 (4-level): 64-bit entries.
    private static Step WalkWide(VpState* s, GuestMemory memory, in WalkRequest request, bool setBits, bool lastTry, out WalkResult result, out uint errorCode)
    {
        bool longMode = (s->Efer & Efer.LMA) != 0;
        bool nxe = (s->Efer & Efer.NXE) != 0;
        ulong reserved = CpuModel.ReservedPhysicalBits | (nxe ? 0 : Nx);
        if (!longMode)
        {
            reserved |= 0x7FF0_0000_0000_0000;
        }

        ulong linear = longMode ? request.Linear : (uint)request.Linear;
        ulong table = longMode ? s->Cr3 & FrameMask : s->Cr3 & 0xFFFF_FFE0;
        int shift = longMode ? 39 : 30;
        ulong rights = W | U;
        bool noExecute = false;
        result = default;

        for (; ; shift -= 9)
        {
            ulong index = longMode || shift != 30 ? (linear >> shift) & 0x1FF : linear >> 30;
            ulong* slot = Entry(memory, table + (index << 3), out ulong entry);
            if ((entry & P) == 0)
            {
                return Fail(s, request, 0, out errorCode);
            }

            bool pdpte = !longMode && shift == 30;
            bool leaf = shift == 12 || ((entry & Ps) != 0 && shift <= 30 && !pdpte);
            ulong bad = pdpte ? CpuModel.ReservedPhysicalBits | 0xFFF0_0000_0000_01E6 : reserved;
            if (shift == 39)
            {
                bad |= Ps;
            }
            else if (leaf && shift > 12)
            {
                // Bits between the PAT bit (12) and the frame.
                bad |= ((1UL << shift) - 1) & ~0x1FFFUL;
            }

            if ((entry & bad) != 0)
            {
                return Fail(s, request, Present | ReservedBit, out errorCode);
            }

            if (!pdpte)
            {
                rights &= entry;
                noExecute |= nxe && (entry & Nx) != 0;
            }

            if (leaf)
            {
                result.UserPage = (rights & U) != 0;
                result.Writable = (rights & W) != 0;
                result.NoExecute = noExecute;
                return Finish(s, memory, request, setBits, lastTry, table + (index << 3), slot, 0, entry, shift, ref result, out errorCode);
            }

            if (setBits && !pdpte && (entry & A) == 0 && !SetBits64(memory, table + (index << 3), slot, entry, A) && !lastTry)
            {
                errorCode = 0;
                return Step.Retry;
            }

            table = entry & FrameMask;
        }
    }

    // 4.3: 32-bit paging, with PSE-36 for 4 MiB pages.
    private static Step WalkNarrow(VpState* s, GuestMemory memory, in WalkRequest request, bool setBits, bool lastTry, out WalkResult result, out uint errorCode)
    {
        uint linear = (uint)request.Linear;
        result = default;
        ulong directory = (s->Cr3 & 0xFFFF_F000) + ((linear >> 22) << 2);
        uint* slot = Entry32(memory, directory, out uint pde);
        if ((pde & P) == 0)
        {
            return Fail(s, request, 0, out errorCode);
        }

        if ((pde & Ps) != 0 && (s->Cr4 & Cr4.PSE) != 0)
        {
            if ((pde & (1u << 21)) != 0)
            {
                return Fail(s, request, Present | ReservedBit, out errorCode);
            }

            result.UserPage = (pde & U) != 0;
            result.Writable = (pde & W) != 0;
            ulong frame = (pde & 0xFFC0_0000) | ((ulong)((pde >> 13) & 0xFF) << 32);
            return Finish(s, memory, request, setBits, lastTry, directory, slot, pde, (pde & 0x1FFUL) | frame, 22, ref result, out errorCode);
        }

        if (setBits && (pde & A) == 0 && !SetBits32(memory, directory, slot, pde, (uint)A) && !lastTry)
        {
            errorCode = 0;
            return Step.Retry;
        }

        ulong tableEntry = (pde & 0xFFFF_F000) + (((linear >> 12) & 0x3FF) << 2);
        slot = Entry32(memory, tableEntry, out uint pte);
        if ((pte & P) == 0)
        {
            return Fail(s, request, 0, out errorCode);
        }

        result.UserPage = (pde & pte & U) != 0;
        result.Writable = (pde & pte & W) != 0;
        return Finish(s, memory, request, setBits, lastTry, tableEntry, slot, pte, pte, 12, ref result, out errorCode);
    }

    private static Step Finish(
        VpState* s, GuestMemory memory, in WalkRequest request, bool setBits, bool lastTry, ulong entryGpa, void* slot, uint narrow, ulong entry, int shift, ref WalkResult result, out uint errorCode)
    {
        if (!Allowed(s, request, result))
        {
            return Fail(s, request, Present, out errorCode);
        }

        ulong want = A | (request.Write ? D : 0);
        if (setBits && (entry & want) != want)
        {
            bool done = (s->Cr4 & Cr4.PAE) != 0
                ? SetBits64(memory, entryGpa, (ulong*)slot, entry, want)
                : SetBits32(memory, entryGpa, (uint*)slot, narrow, (uint)want);
            if (!done && !lastTry)
            {
                errorCode = 0;
                return Step.Retry;
            }
        }

        ulong offset = (1UL << shift) - 1;
        result.Gpa = (entry & FrameMask & ~offset) | (request.Linear & offset);
        result.PageShift = (byte)shift;
        result.Global = (entry & G) != 0 && (s->Cr4 & Cr4.PGE) != 0;
        result.Dirty = ((entry | want) & D) != 0;
        errorCode = 0;
        return Step.Done;
    }

    // 4.6: access rights.
    private static bool Allowed(VpState* s, in WalkRequest request, in WalkResult page)
    {
        if (request.User)
        {
            return page.UserPage && (!request.Write || page.Writable) && (!request.Fetch || !page.NoExecute);
        }

        if (request.Fetch)
        {
            return !page.NoExecute && !(page.UserPage && (s->Cr4 & Cr4.SMEP) != 0);
        }

        if (page.UserPage && request.UserPagesClosed)
        {
            return false;
        }

        return !request.Write || page.Writable || (s->Cr0 & Cr0.WP) == 0;
    }

    private static Step Fail(VpState* s, in WalkRequest request, uint cause, out uint errorCode)
    {
        errorCode = cause | (request.Write ? WriteAccess : 0) | (request.User ? UserAccess : 0);
        if (request.Fetch
            && ((s->Cr4 & Cr4.SMEP) != 0 || ((s->Cr4 & Cr4.PAE) != 0 && (s->Efer & Efer.NXE) != 0)))
        {
            errorCode |= FetchAccess;
        }

        return Step.Fault;
    }

    private static ulong* Entry(GuestMemory memory, ulong gpa, out ulong entry)
    {
        byte* host = Host(memory, gpa);
        entry = host == null ? 0 : Volatile.Read(ref *(ulong*)host);
        return (ulong*)host;
    }

    private static uint* Entry32(GuestMemory memory, ulong gpa, out uint entry)
    {
        byte* host = Host(memory, gpa);
        entry = host == null ? 0 : Volatile.Read(ref *(uint*)host);
        return (uint*)host;
    }

    // SAFETY: a readable page's host address is valid for 4096 bytes; entries are naturally aligned. Tables outside memory read
    // as not present.
    private static byte* Host(GuestMemory memory, ulong gpa)
    {
        ulong page = memory.PageEntry(gpa >> 12);
        return (page & (ulong)PageFlags.Readable) == 0 ? null : (byte*)(page & ~0xFFFUL) + (gpa & 0xFFF);
    }

    private static bool SetBits64(GuestMemory memory, ulong gpa, ulong* slot, ulong seen, ulong bits)
    {
        if (!IsWritable(memory, gpa))
        {
            return true;
        }

        slot = (ulong*)Observed(memory, gpa, slot);
        bool done = Interlocked.CompareExchange(ref *slot, seen | bits, seen) == seen;
        memory.NotifyWrite(gpa, 8);
        return done;
    }

    private static bool SetBits32(GuestMemory memory, ulong gpa, uint* slot, uint seen, uint bits)
    {
        if (!IsWritable(memory, gpa))
        {
            return true;
        }

        slot = (uint*)Observed(memory, gpa, slot);
        bool done = Interlocked.CompareExchange(ref *slot, seen | bits, seen) == seen;
        memory.NotifyWrite(gpa, 4);
        return done;
    }

    // Who observes writes may put another host page behind the entry.
    private static void* Observed(GuestMemory memory, ulong gpa, void* slot)
    {
        if (memory.WriteObserver == null)
        {
            return slot;
        }

        memory.WriteObserver(gpa >> 12);
        return Host(memory, gpa);
    }

    private static bool IsWritable(GuestMemory memory, ulong gpa)
        => (memory.PageEntry(gpa >> 12) & (ulong)PageFlags.Writable) != 0;
}

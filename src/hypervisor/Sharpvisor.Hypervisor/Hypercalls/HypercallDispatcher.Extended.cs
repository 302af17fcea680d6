// Extended hypercalls (TLFS "Extended Hypercall Interface"): free page reporting, by which a guest says what memory it does not use
// (drivers/hv/hv_balloon.c, hv_free_page_report; include/asm-generic/hyperv-tlfs.h, struct hv_memory_hint).
using System.Runtime.InteropServices;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed partial class HypercallDispatcher
{
    // HV_EXT_CAPABILITY_MEMORY_COLD_DISCARD_HINT.
    private const ulong ColdDiscardCapability = 1 << 8;
    private const ulong ColdDiscard = 2;
    private const int MaxHints = (GuestMemory.PageBytes / sizeof(ulong)) - 1;
    private const int LargePageShift = 9;

    private ushort QueryExtendedCapabilities(HypercallInput value, ulong outputGpa)
    {
        // There is no fast output.
        if (value.IsFast)
        {
            return HvStatus.InvalidHypercallInput;
        }

        return (outputGpa & 7) == 0 && _partition.Memory.TryWrite(outputGpa, ColdDiscardCapability)
            ? HvStatus.Success
            : HvStatus.InvalidAlignment;
    }

    private ushort HintMemoryHeat(HypercallInput value, ulong inputGpa)
    {
        if (value.IsFast || value.RepCount > MaxHints)
        {
            return HvStatus.InvalidHypercallInput;
        }

        // Type in bits 0 and 1; the rest is reserved.
        if (Qword(0) != ColdDiscard)
        {
            return HvStatus.InvalidParameter;
        }

        Span<ulong> ranges = stackalloc ulong[MaxHints];
        ranges = ranges[value.RepStart..value.RepCount];
        if (!_partition.Memory.TryRead(inputGpa + 8 + ((ulong)value.RepStart * 8), MemoryMarshal.AsBytes(ranges)))
        {
            return HvStatus.InvalidAlignment;
        }

        // Nobody can have more free pages than there are: this bounds the work a call can cost.
        ulong budget = _partition.Memory.RamBytes >> GuestMemory.PageShift;
        foreach (ulong range in ranges)
        {
            // union hv_gpa_page_range: additional pages in bits 0 to 10, large page in bit 11; then a page number, or
            // (page_size in bit 12: 0 for 2 MiB) a large page number from bit 21.
            bool large = (range & (1 << 11)) != 0;
            ulong pages = (range & 0x7FF) + 1;
            ulong gpn = range >> 12;
            if (large)
            {
                if ((range & (1 << 12)) != 0)
                {
                    return HvStatus.InvalidParameter;
                }

                pages <<= LargePageShift;
                gpn = (range >> 21) << LargePageShift;
            }

            if (pages > budget)
            {
                return HvStatus.InvalidParameter;
            }

            budget -= pages;
            if (!_partition.Memory.TryDiscard(gpn, pages))
            {
                return HvStatus.InvalidParameter;
            }

            _counters.DiscardedPages.Add((long)pages);
        }

        return HvStatus.Success;
    }
}

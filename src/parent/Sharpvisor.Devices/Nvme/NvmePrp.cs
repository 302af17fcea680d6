// Physical region pages (NVMe 1.4, 4.3): how a command says where its data is. Each list page is read once.
using System.Runtime.InteropServices;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Nvme;

internal static class NvmePrp
{
    private const int PageBytes = GuestMemory.PageBytes;
    private const ulong PageMask = PageBytes - 1;
    private const int EntriesPerPage = PageBytes / sizeof(ulong);

    /// <summary>Collects a command's pages into its request.</summary>
    /// <param name="bytes">Bounded by the caller (MDTS), and with it the work here.</param>
    public static NvmeStatus Map(GuestMemory memory, NvmeRequest request, int bytes)
    {
        ulong prp1 = request.Command.Prp1;
        ulong prp2 = request.Command.Prp2;
        if ((prp1 & 3) != 0)
        {
            return NvmeStatus.InvalidPrpOffset;
        }

        int first = Math.Min(bytes, PageBytes - (int)(prp1 & PageMask));
        if (!request.TryAddPage(memory, prp1, first))
        {
            return NvmeStatus.DataTransferError;
        }

        bytes -= first;
        if (bytes == 0)
        {
            return NvmeStatus.Success;
        }

        if (bytes > PageBytes)
        {
            return MapList(memory, request, prp2, bytes);
        }

        return (prp2 & PageMask) != 0 ? NvmeStatus.InvalidPrpOffset
            : request.TryAddPage(memory, prp2, bytes) ? NvmeStatus.Success
            : NvmeStatus.DataTransferError;
    }

    private static NvmeStatus MapList(GuestMemory memory, NvmeRequest request, ulong list, int bytes)
    {
        Span<ulong> entries = stackalloc ulong[EntriesPerPage];
        while (bytes > 0)
        {
            if ((list & 7) != 0)
            {
                return NvmeStatus.InvalidPrpOffset;
            }

            // A list ends at its page's end; if there is more data, its last entry there points to the next list.
            int needed = (bytes + PageBytes - 1) / PageBytes;
            int room = (PageBytes - (int)(list & PageMask)) / sizeof(ulong);
            int count = Math.Min(needed, room);
            bool chained = needed > room;
            if (chained && room == 1)
            {
                // Nothing but a pointer: allowed once at the start only, or a guest could make us follow pointers for ever.
                if (request.Data.Count > 1 || !memory.TryRead(list, out list) || (list & PageMask) != 0)
                {
                    return NvmeStatus.InvalidPrpOffset;
                }

                continue;
            }

            if (!memory.TryRead(list, MemoryMarshal.AsBytes(entries[..count])))
            {
                return NvmeStatus.DataTransferError;
            }

            int pages = chained ? count - 1 : count;
            foreach (ulong page in entries[..pages])
            {
                int piece = Math.Min(bytes, PageBytes);
                if ((page & PageMask) != 0)
                {
                    return NvmeStatus.InvalidPrpOffset;
                }

                if (!request.TryAddPage(memory, page, piece))
                {
                    return NvmeStatus.DataTransferError;
                }

                bytes -= piece;
            }

            list = entries[count - 1];
        }

        return NvmeStatus.Success;
    }
}

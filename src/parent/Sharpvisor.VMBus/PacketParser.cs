// From a packet's bytes (a private copy) to what a VSP gets. Types as in include/linux/hyperv.h, enum vmbus_packet_type;
// types no guest sends to a host break the channel, as they do on Hyper-V.
using System.Runtime.InteropServices;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

/// <summary>Checks packets.</summary>
internal static class PacketParser
{
    private const int DescriptorBytes = 16;

    /// <param name="descriptor">The packet's descriptor, lengths already checked against the ring.</param>
    /// <param name="body">What follows the descriptor.</param>
    /// <param name="ranges">Filled for the packet types that carry ranges.</param>
    /// <param name="channel">The channel, for <see cref="IncomingPacket.TakeRanges"/>.</param>
    /// <param name="packet">The result.</param>
    /// <returns>False when the packet makes no sense.</returns>
    public static bool TryParse(
        in PacketDescriptor descriptor, ReadOnlySpan<byte> body, GpaRangeList ranges, VmbusChannel? channel, out IncomingPacket packet)
    {
        packet = default;
        int headerBytes = (descriptor.Offset8 * 8) - DescriptorBytes;
        if (headerBytes < 0 || headerBytes > body.Length)
        {
            return false;
        }

        ReadOnlySpan<byte> header = body[..headerBytes];
        ReadOnlySpan<byte> payload = body[headerBytes..];
        GpaRangeList? parsed = null;
        uint handle = 0;
        switch (descriptor.Type)
        {
            case PacketType.DataInBand:
            case PacketType.Completion:
            case PacketType.CancelRequest:
                break;
            case PacketType.DataUsingGpaDirect:
                if (!TryParseGpaDirect(header, ranges))
                {
                    return false;
                }

                parsed = ranges;
                break;
            case PacketType.DataUsingTransferPages:
                if (!TryParseTransferPages(header, ranges, out handle))
                {
                    return false;
                }

                parsed = ranges;
                break;
            default:
                return false;
        }

        packet = new IncomingPacket(descriptor.Type, descriptor.Flags, descriptor.TransactionId, payload, parsed, handle, channel);
        return true;
    }

    /// <summary>Parses <c>gpa_range</c>s, each with its page numbers; <paramref name="bytes"/> may be longer than needed.</summary>
    public static bool TryParseRanges(ReadOnlySpan<byte> bytes, uint count, GpaRangeList ranges)
    {
        ranges.Clear();
        for (uint i = 0; i < count; i++)
        {
            // Each range takes at least 8 bytes of a bounded packet, so the loop ends whatever the count says.
            if (!Wire.TryParse(bytes, out GpaRangeHeader range))
            {
                return false;
            }

            bytes = bytes[8..];
            int pages = GpaRangeList.PagesSpanned(range.ByteCount, range.ByteOffset);
            if (pages > bytes.Length / sizeof(ulong)
                || !ranges.TryAdd(range.ByteCount, range.ByteOffset, MemoryMarshal.Cast<byte, ulong>(bytes[..(pages * sizeof(ulong))])))
            {
                return false;
            }

            bytes = bytes[(pages * sizeof(ulong))..];
        }

        return true;
    }

    private static bool TryParseGpaDirect(ReadOnlySpan<byte> header, GpaRangeList ranges) =>
        Wire.TryParse(header, out GpaDirectHeader direct)
        && direct.RangeCount != 0
        && TryParseRanges(header[8..], direct.RangeCount, ranges);

    private static bool TryParseTransferPages(ReadOnlySpan<byte> header, GpaRangeList ranges, out uint set)
    {
        set = 0;
        ranges.Clear();
        if (!Wire.TryParse(header, out TransferPageHeader transfer) || transfer.RangeCount > (uint)(header.Length - 8) / 8)
        {
            return false;
        }

        set = transfer.SetId;
        header = header[8..];
        for (uint i = 0; i < transfer.RangeCount; i++, header = header[8..])
        {
            TransferPageRange range = MemoryMarshal.Read<TransferPageRange>(header);
            ranges.AddTransferRange(range.ByteCount, range.ByteOffset);
        }

        return true;
    }
}

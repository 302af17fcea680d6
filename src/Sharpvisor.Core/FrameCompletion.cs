// Does in software what a FrameOffload leaves to do, for a receiver that wants ordinary frames: cuts a large TCP segment into
// packets and fills in checksums (RFC 1071; RFC 9293, 3.1; RFC 791; RFC 8200, 8.1).
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Sharpvisor.Core;

/// <summary>Makes complete frames of one that is not. Whatever the frame's bytes are, it stays inside the given spans and ends.</summary>
public static class FrameCompletion
{
    /// <summary>No Ethernet frame here is longer.</summary>
    public const int MaximumFrameBytes = 65535 + EthernetBytes + (2 * TagBytes);

    private const int EthernetBytes = 14;
    private const int TagBytes = 4;
    private const int MaximumSegments = 128;
    private const byte FinPsh = 0x09;
    private const byte Cwr = 0x80;

    /// <summary>
    /// Writes the next complete frame of <paramref name="frame"/> into <paramref name="destination"/>: call it with
    /// <paramref name="position"/> 0 first and until it returns 0.
    /// </summary>
    /// <param name="position">Where in the frame the next piece begins; this method's own.</param>
    /// <param name="destination">At least <see cref="MaximumFrameBytes"/>.</param>
    /// <returns>Bytes of the complete frame; 0: there are no more (or the frame contradicts its offload, and is dropped).</returns>
    public static int Next(ReadOnlySpan<byte> frame, FrameOffload offload, ref int position, Span<byte> destination)
    {
        if (position >= frame.Length || frame.Length > destination.Length)
        {
            return 0;
        }

        if (offload.SegmentBytes == 0)
        {
            position = frame.Length;
            frame.CopyTo(destination);
            return offload.ChecksumStart == 0 || TryFinishChecksum(destination[..frame.Length], offload) ? frame.Length : 0;
        }

        return NextSegment(frame, offload, ref position, destination);
    }

    /// <summary>The Internet checksum's sum over bytes, not yet folded, added to <paramref name="sum"/>; host byte order.</summary>
    /// <remarks>Correct for a span that begins at an even offset of what is summed; the sum of all is folded by <see cref="Fold"/>.</remarks>
    public static ulong Sum(ReadOnlySpan<byte> bytes, ulong sum)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words)
        {
            // The carry goes around: 2^64 is 1 modulo 2^16 - 1.
            sum += word;
            sum += sum < word ? 1u : 0u;
        }

        bytes = bytes[(words.Length * sizeof(ulong))..];
        ulong rest = 0;
        for (int i = 0; i < bytes.Length; i++)
        {
            rest |= (ulong)bytes[i] << (8 * i);
        }

        sum += rest;
        return sum + (sum < rest ? 1u : 0u);
    }

    /// <summary>Folds a <see cref="Sum"/> to 16 bits of host byte order, as they are stored; not complemented.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ushort Fold(ulong sum)
    {
        sum = (sum & 0xFFFF_FFFF) + (sum >> 32);
        sum = (sum & 0xFFFF) + (sum >> 16);
        sum = (sum & 0xFFFF) + (sum >> 16);
        sum = (sum & 0xFFFF) + (sum >> 16);
        return (ushort)sum;
    }

    // The field holds the pseudo header's sum, so that the sum over everything from the start is the checksum.
    private static bool TryFinishChecksum(Span<byte> frame, FrameOffload offload)
    {
        int field = offload.ChecksumStart + offload.ChecksumOffset;
        if (field + 2 > frame.Length)
        {
            return false;
        }

        ushort checksum = (ushort)~Fold(Sum(frame[offload.ChecksumStart..], 0));

        // RFC 768: 0 would say that there is none; the other form of zero is as good for TCP.
        MemoryMarshal.Write(frame[field..], checksum == 0 ? (ushort)0xFFFF : checksum);
        return true;
    }

    private static int NextSegment(ReadOnlySpan<byte> frame, FrameOffload offload, ref int position, Span<byte> destination)
    {
        int ip = EthernetBytes;
        while (ip < EthernetBytes + (2 * TagBytes) && ip < frame.Length
            && BinaryPrimitives.ReadUInt16BigEndian(frame[(ip - 2)..]) is 0x8100 or 0x88A8)
        {
            ip += TagBytes;
        }

        int tcp = offload.ChecksumStart;
        if (tcp < ip + 20 || tcp + 20 > frame.Length)
        {
            position = frame.Length;
            return 0;
        }

        bool version6 = frame[ip] >> 4 == 6;
        int payload = tcp + (frame[tcp + 12] >> 4 << 2);
        if (payload < tcp + 20 || payload > frame.Length || (version6 && tcp < ip + 40)
            || (frame.Length - payload) / offload.SegmentBytes >= MaximumSegments)
        {
            position = frame.Length;
            return 0;
        }

        int start = Math.Max(position, payload);
        int bytes = Math.Min(offload.SegmentBytes, frame.Length - start);
        bool last = start + bytes == frame.Length;
        Span<byte> packet = destination[..(payload + bytes)];
        frame[..payload].CopyTo(packet);
        frame.Slice(start, bytes).CopyTo(packet[payload..]);
        FinishIp(packet[ip..], version6, tcp - ip, (start - payload) / offload.SegmentBytes);
        FinishTcp(packet, ip, tcp, version6, (uint)(start - payload), first: start == payload, last);
        position = last ? frame.Length : start + bytes;
        return packet.Length;
    }

    private static void FinishIp(Span<byte> packet, bool version6, int headerBytes, int index)
    {
        if (version6)
        {
            BinaryPrimitives.WriteUInt16BigEndian(packet[4..], (ushort)(packet.Length - 40));
            return;
        }

        BinaryPrimitives.WriteUInt16BigEndian(packet[2..], (ushort)packet.Length);
        BinaryPrimitives.WriteUInt16BigEndian(packet[4..], (ushort)(BinaryPrimitives.ReadUInt16BigEndian(packet[4..]) + index));
        packet[10..12].Clear();
        MemoryMarshal.Write(packet[10..], (ushort)~Fold(Sum(packet[..headerBytes], 0)));
    }

    private static void FinishTcp(Span<byte> packet, int ip, int tcp, bool version6, uint advance, bool first, bool last)
    {
        Span<byte> segment = packet[tcp..];
        BinaryPrimitives.WriteUInt32BigEndian(segment[4..], BinaryPrimitives.ReadUInt32BigEndian(segment[4..]) + advance);
        segment[13] &= (byte)~((first ? 0 : Cwr) | (last ? 0 : FinPsh));
        segment[16..18].Clear();
        ReadOnlySpan<byte> addresses = version6 ? packet.Slice(ip + 8, 32) : packet.Slice(ip + 12, 8);
        ulong pseudo = Sum(addresses, (ulong)BinaryPrimitives.ReverseEndianness((ushort)segment.Length) + (6 << 8));
        MemoryMarshal.Write(segment[16..], (ushort)~Fold(Sum(segment, pseudo)));
    }
}

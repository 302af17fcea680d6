// Makes frames with right checksums, added up the slow way.
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Vsp.Tests;

internal static class Frames
{
    public const int TcpStart = 34;
    public const int HeaderBytes = 54;

    private static readonly byte[] s_source = [2, 0, 0, 0, 0, 9];

    /// <summary>Bytes of no protocol that anybody knows.</summary>
    public static byte[] Plain(int bytes, MacAddress? destination = null)
    {
        byte[] frame = new byte[bytes];
        new Random(bytes).NextBytes(frame);
        (destination ?? NetBus.Address).CopyTo(frame);
        s_source.CopyTo(frame, 6);
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(12), 0x88B5);
        return frame;
    }

    /// <summary>TCP over IPv4 from 10.0.0.9 port <paramref name="port"/>; whole and right.</summary>
    public static byte[] Tcp(int payload, ushort port = 1234, byte protocol = 6)
    {
        byte[] frame = Plain(HeaderBytes + payload);
        Span<byte> ip = frame.AsSpan(14);
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(12), 0x0800);
        ip[..40].Clear();
        ip[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(ip[2..], (ushort)(40 + payload));
        ip[8] = 64;
        ip[9] = protocol;
        ((ReadOnlySpan<byte>)[10, 0, 0, 9, 10, 0, 0, 2]).CopyTo(ip[12..]);
        BinaryPrimitives.WriteUInt16BigEndian(ip[20..], port);
        BinaryPrimitives.WriteUInt16BigEndian(ip[22..], 80);
        BinaryPrimitives.WriteUInt32BigEndian(ip[24..], 1000);
        ip[32] = 0x50;
        ip[33] = 0x18;
        BinaryPrimitives.WriteUInt16BigEndian(ip[10..], Checksum(ip[..20], 0));
        BinaryPrimitives.WriteUInt16BigEndian(ip[36..], Checksum(ip[20..], Pseudo(ip, protocol)));
        return frame;
    }

    /// <summary>RFC 1071, as its text says it.</summary>
    public static ushort Checksum(ReadOnlySpan<byte> bytes, uint sum)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            sum += (uint)(i % 2 == 0 ? bytes[i] << 8 : bytes[i]);
            sum = (sum & 0xFFFF) + (sum >> 16);
        }

        return (ushort)~sum;
    }

    public static uint Pseudo(ReadOnlySpan<byte> ip, byte protocol)
    {
        uint sum = (uint)(ushort)~Checksum(ip.Slice(12, 8), 0) + protocol + (uint)(ip.Length - 20);
        return (sum & 0xFFFF) + (sum >> 16);
    }

    /// <summary>Both checksums of an IPv4 TCP frame are right, and its length.</summary>
    public static bool IsRight(ReadOnlySpan<byte> frame)
    {
        ReadOnlySpan<byte> ip = frame[14..];
        return BinaryPrimitives.ReadUInt16BigEndian(ip[2..]) == ip.Length && Checksum(ip[..20], 0) == 0 && Checksum(ip[20..], Pseudo(ip, ip[9])) == 0;
    }
}

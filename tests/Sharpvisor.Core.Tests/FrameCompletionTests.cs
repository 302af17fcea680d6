// Complete frames against checksums computed word by word, as RFC 1071 writes it.
using System.Buffers.Binary;
using Xunit;

namespace Sharpvisor.Core.Tests;

public sealed class FrameCompletionTests
{
    private readonly byte[] _destination = new byte[FrameCompletion.MaximumFrameBytes];

    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 0)]
    [InlineData(false, 1)]
    [InlineData(true, 2)]
    public void A_large_segment_becomes_packets_whose_payload_and_checksums_are_right(bool version6, int tags)
    {
        byte[] frame = TcpFrame(version6, tags, payloadBytes: 4001, out int ip, out int tcp);
        var payload = new List<byte>();
        int position = 0;
        uint sequence = 1000;
        int index = 0;
        int bytes;
        while ((bytes = FrameCompletion.Next(frame, new FrameOffload(1400, (ushort)tcp, 16), ref position, _destination)) > 0)
        {
            byte[] packet = _destination[..bytes];
            bool last = index == 2;
            Assert.Equal(sequence, BinaryPrimitives.ReadUInt32BigEndian(packet.AsSpan(tcp + 4)));
            Assert.Equal(last ? 0x19 : 0x10, packet[tcp + 13] & 0x7F);
            Assert.Equal(index == 0 ? 0x80 : 0, packet[tcp + 13] & 0x80);
            AssertIpIsRight(packet, version6, ip, tcp, index);
            sequence += (uint)(bytes - tcp - 20);
            payload.AddRange(packet[(tcp + 20)..]);
            index++;
        }

        Assert.Equal(3, index);
        Assert.Equal(frame[(tcp + 20)..], payload);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(101)]
    [InlineData(0)]
    public void A_missing_checksum_is_filled_in(int payloadBytes)
    {
        byte[] frame = TcpFrame(version6: false, 0, payloadBytes, out int ip, out int tcp);
        ushort pseudo = Fold(WordSum(frame.AsSpan(ip + 12, 8)) + 6 + (uint)(frame.Length - tcp));
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(tcp + 16), pseudo);
        int position = 0;

        Assert.Equal(frame.Length, FrameCompletion.Next(frame, new FrameOffload(0, (ushort)tcp, 16), ref position, _destination));
        Assert.Equal(0xFFFF, TcpSum(_destination.AsSpan(0, frame.Length), version6: false, ip, tcp));
        Assert.Equal(0, FrameCompletion.Next(frame, new FrameOffload(0, (ushort)tcp, 16), ref position, _destination));
    }

    [Fact]
    public void Contradictions_produce_no_frame_and_stay_inside_the_buffers()
    {
        var random = new Random(1);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] frame = new byte[random.Next(0, 200)];
            random.NextBytes(frame);
            var offload = new FrameOffload((ushort)random.Next(0, 30), (ushort)random.Next(0, 220), (ushort)random.Next(0, 65536));
            int position = 0;
            int count = 0;
            while (FrameCompletion.Next(frame, offload, ref position, _destination) is > 0 and int bytes)
            {
                Assert.InRange(bytes, 1, frame.Length);
                Assert.InRange(++count, 1, 200);
            }
        }
    }

    private static void AssertIpIsRight(byte[] packet, bool version6, int ip, int tcp, int index)
    {
        if (version6)
        {
            Assert.Equal(packet.Length - ip - 40, BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(ip + 4)));
        }
        else
        {
            Assert.Equal(packet.Length - ip, BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(ip + 2)));
            Assert.Equal(7 + index, BinaryPrimitives.ReadUInt16BigEndian(packet.AsSpan(ip + 4)));
            Assert.Equal(0xFFFF, Fold(WordSum(packet.AsSpan(ip, 20))));
        }

        Assert.Equal(0xFFFF, TcpSum(packet, version6, ip, tcp));
    }

    private static ushort TcpSum(ReadOnlySpan<byte> packet, bool version6, int ip, int tcp)
    {
        ReadOnlySpan<byte> addresses = version6 ? packet.Slice(ip + 8, 32) : packet.Slice(ip + 12, 8);
        return Fold(WordSum(addresses) + 6 + (uint)(packet.Length - tcp) + WordSum(packet[tcp..]));
    }

    private static uint WordSum(ReadOnlySpan<byte> bytes)
    {
        uint sum = 0;
        for (int i = 0; i < bytes.Length; i += 2)
        {
            sum += (uint)((bytes[i] << 8) | (i + 1 < bytes.Length ? bytes[i + 1] : 0));
        }

        return sum;
    }

    private static ushort Fold(uint sum)
    {
        while (sum > 0xFFFF)
        {
            sum = (sum & 0xFFFF) + (sum >> 16);
        }

        return (ushort)sum;
    }

    private static byte[] TcpFrame(bool version6, int tags, int payloadBytes, out int ip, out int tcp)
    {
        ip = 14 + (4 * tags);
        tcp = ip + (version6 ? 40 : 20);
        byte[] frame = new byte[tcp + 20 + payloadBytes];
        new Random(5).NextBytes(frame);
        for (int i = 0; i < tags; i++)
        {
            BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(12 + (4 * i)), i == 0 && tags == 2 ? (ushort)0x88A8 : (ushort)0x8100);
        }

        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(ip - 2), version6 ? (ushort)0x86DD : (ushort)0x0800);
        frame[ip] = version6 ? (byte)0x60 : (byte)0x45;
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(ip + 4), 7);
        BinaryPrimitives.WriteUInt32BigEndian(frame.AsSpan(tcp + 4), 1000);
        frame[tcp + 12] = 0x50;
        frame[tcp + 13] = 0x99;
        return frame;
    }
}

// Where the headers of an Ethernet frame are (IEEE 802.3, 802.1Q; RFC 791; RFC 8200, 4; RFC 9293; RFC 768), and whether its
// checksums are right.
using System.Buffers.Binary;

namespace Sharpvisor.Core;

/// <summary>What a frame's checksums say.</summary>
public enum ChecksumState
{
    /// <summary>There is none, or none that is looked at here.</summary>
    None,
    Good,
    Bad,
}

/// <summary>The headers of an IP packet in a frame. Offsets count from the frame's start and lie within it.</summary>
public readonly record struct FrameLayout
{
    public const int EthernetBytes = 14;
    public const int VlanTagBytes = 4;
    public const ushort EtherTypeVlan = 0x8100;
    public const byte Tcp = 6;
    public const byte Udp = 17;

    private const ushort EtherTypeIPv4 = 0x0800;
    private const ushort EtherTypeIPv6 = 0x86DD;
    private const ushort EtherTypeServiceVlan = 0x88A8;
    private const int IPv6HeaderBytes = 40;
    private const int MaximumExtensions = 8;

    /// <summary>Where the IP header is.</summary>
    public int Network { get; private init; }

    /// <summary>Where the TCP or UDP header is; 0 when there is neither, or only a later fragment of one.</summary>
    public int Transport { get; private init; }

    /// <summary>Where the TCP payload is; 0 when it is not TCP.</summary>
    public int Payload { get; private init; }

    /// <summary>Where the IP packet ends; Ethernet padding may follow.</summary>
    public int End { get; private init; }

    /// <summary>The protocol at <see cref="Transport"/>.</summary>
    public byte Protocol { get; private init; }

    public bool IsIPv6 { get; private init; }

    /// <summary>Where the checksum's field of <see cref="Protocol"/> is within its header.</summary>
    public int ChecksumOffset => Protocol == Tcp ? 16 : 6;

    /// <summary>Source and destination address, one after the other.</summary>
    public ReadOnlySpan<byte> Addresses(ReadOnlySpan<byte> frame) => IsIPv6 ? frame.Slice(Network + 8, 32) : frame.Slice(Network + 12, 8);

    /// <summary>Finds the headers. False when it is not an IP packet, or not a whole one.</summary>
    /// <param name="lengthIsMissing">The IP header's length is to be ignored: large segments come without (NDIS's LSO).</param>
    public static bool TryParse(ReadOnlySpan<byte> frame, out FrameLayout layout, bool lengthIsMissing = false)
    {
        layout = default;
        int network = EthernetBytes;
        for (int tags = 0; ; tags++)
        {
            if (frame.Length < network)
            {
                return false;
            }

            ushort type = BinaryPrimitives.ReadUInt16BigEndian(frame[(network - 2)..]);
            switch (type)
            {
                case EtherTypeIPv4:
                    return TryParseIPv4(frame, network, lengthIsMissing, out layout);
                case EtherTypeIPv6:
                    return TryParseIPv6(frame, network, lengthIsMissing, out layout);
                case EtherTypeVlan or EtherTypeServiceVlan when tags < 2:
                    network += VlanTagBytes;
                    break;
                default:
                    return false;
            }
        }
    }

    /// <summary>The sum over the pseudo header of TCP and UDP (RFC 9293, 3.1; RFC 8200, 8.1), not folded.</summary>
    public ulong PseudoHeaderSum(ReadOnlySpan<byte> frame)
    {
        ulong length = BinaryPrimitives.ReverseEndianness((ushort)(End - Transport));
        return FrameCompletion.Sum(Addresses(frame), length + ((ulong)Protocol << 8));
    }

    /// <summary>Checks the IPv4 header's checksum; <see cref="ChecksumState.None"/> for IPv6.</summary>
    public ChecksumState VerifyNetwork(ReadOnlySpan<byte> frame)
    {
        if (IsIPv6)
        {
            return ChecksumState.None;
        }

        int bytes = (frame[Network] & 0xF) * 4;
        return FrameCompletion.Fold(FrameCompletion.Sum(frame.Slice(Network, bytes), 0)) == 0xFFFF ? ChecksumState.Good : ChecksumState.Bad;
    }

    /// <summary>Checks TCP's or UDP's checksum. The first fragment of a packet has none that could be checked.</summary>
    public ChecksumState VerifyTransport(ReadOnlySpan<byte> frame)
    {
        if (Transport == 0)
        {
            return ChecksumState.None;
        }

        if (Protocol == Udp && BinaryPrimitives.ReadUInt16BigEndian(frame[(Transport + 6)..]) == 0)
        {
            return ChecksumState.None;
        }

        ulong sum = FrameCompletion.Sum(frame[Transport..End], PseudoHeaderSum(frame));
        return FrameCompletion.Fold(sum) == 0xFFFF ? ChecksumState.Good : ChecksumState.Bad;
    }

    private static bool TryParseIPv4(ReadOnlySpan<byte> frame, int network, bool lengthIsMissing, out FrameLayout layout)
    {
        layout = default;
        if (frame.Length < network + 20 || frame[network] >> 4 != 4)
        {
            return false;
        }

        int header = (frame[network] & 0xF) * 4;
        int total = lengthIsMissing ? frame.Length - network : BinaryPrimitives.ReadUInt16BigEndian(frame[(network + 2)..]);
        if (header < 20 || total < header || total > frame.Length - network)
        {
            return false;
        }

        // More fragments, or an offset: what TCP or UDP header there is does not describe a whole segment.
        bool fragment = (BinaryPrimitives.ReadUInt16BigEndian(frame[(network + 6)..]) & 0x3FFF) != 0;
        layout = WithTransport(frame, new FrameLayout { Network = network, End = network + total }, network + header, frame[network + 9], fragment);
        return true;
    }

    private static bool TryParseIPv6(ReadOnlySpan<byte> frame, int network, bool lengthIsMissing, out FrameLayout layout)
    {
        layout = default;
        if (frame.Length < network + IPv6HeaderBytes || frame[network] >> 4 != 6)
        {
            return false;
        }

        int payload = lengthIsMissing ? frame.Length - network - IPv6HeaderBytes : BinaryPrimitives.ReadUInt16BigEndian(frame[(network + 4)..]);
        if (payload > frame.Length - network - IPv6HeaderBytes)
        {
            return false;
        }

        int end = network + IPv6HeaderBytes + payload;
        int at = network + IPv6HeaderBytes;
        byte next = frame[network + 6];
        bool fragment = false;
        // RFC 8200, 4: hop-by-hop options, routing, destination options have a length; a fragment header is 8 bytes.
        for (int i = 0; i < MaximumExtensions && next is 0 or 43 or 60 or 44 && end - at >= 8; i++)
        {
            fragment |= next == 44;
            int bytes = next == 44 ? 8 : (frame[at + 1] + 1) * 8;
            next = frame[at];
            at += bytes;
        }

        layout = WithTransport(frame, new FrameLayout { Network = network, End = end, IsIPv6 = true }, at, next, fragment);
        return true;
    }

    private static FrameLayout WithTransport(ReadOnlySpan<byte> frame, FrameLayout layout, int transport, byte protocol, bool fragment)
    {
        int room = layout.End - transport;
        if (fragment || (protocol != Tcp && protocol != Udp) || room < (protocol == Tcp ? 20 : 8))
        {
            return layout;
        }

        if (protocol == Udp)
        {
            return layout with { Transport = transport, Protocol = Udp };
        }

        int header = (frame[transport + 12] >> 4) * 4;
        return header < 20 || header > room ? layout : layout with { Transport = transport, Protocol = Tcp, Payload = transport + header };
    }
}

// The guest's end of an integration service in C#, after drivers/hv/channel_mgmt.c (vmbus_prep_negotiate_resp) and drivers/hv/hv_util.c;
// messages are laid out by offset here, independently of the server's structures, so that each tests the other.
using System.Buffers.Binary;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsc.Integration;

/// <summary>A request of the host.</summary>
/// <param name="Type">ICMSGTYPE_*.</param>
/// <param name="Packet">All of it: pipe header, message header, body.</param>
public sealed record IcRequest(ushort Type, byte[] Packet)
{
    /// <summary>What follows the headers.</summary>
    public Span<byte> Body => Packet.AsSpan(IcVsc.HeaderBytes);

    /// <summary>Major and minor of the message version.</summary>
    public (ushort Major, ushort Minor) Version =>
        (BinaryPrimitives.ReadUInt16LittleEndian(Packet.AsSpan(14)), BinaryPrimitives.ReadUInt16LittleEndian(Packet.AsSpan(16)));

    /// <summary>ICMSGHDRFLAG_*.</summary>
    public byte Flags => Packet[25];
}

/// <summary>An integration service's open channel. One thread at a time.</summary>
public sealed class IcVsc(GuestChannel channel)
{
    /// <summary>ICMSG_HDR.</summary>
    public const int HeaderBytes = 28;

    private const int StatusOffset = 20;
    private const int FlagsOffset = 25;
    private const byte TransactionAndResponse = 1 | 4;

    /// <summary>How long to wait for the host.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(20);

    public GuestChannel Channel => channel;

    /// <summary>The message versions the host offered, once negotiated.</summary>
    public IReadOnlyList<(ushort Major, ushort Minor)> Offered { get; private set; } = [];

    /// <summary>Waits for the host's next message.</summary>
    public IcRequest Receive()
    {
        byte[] packet = channel.Receive(Timeout).Payload;
        int pipeBytes = BinaryPrimitives.ReadInt32LittleEndian(packet.AsSpan(4));
        int size = BinaryPrimitives.ReadUInt16LittleEndian(packet.AsSpan(18));
        return BinaryPrimitives.ReadUInt32LittleEndian(packet) == 1 && pipeBytes == size + HeaderBytes - 8 && HeaderBytes + size <= packet.Length
            ? new IcRequest(BinaryPrimitives.ReadUInt16LittleEndian(packet.AsSpan(12)), packet[..(HeaderBytes + size)])
            : throw new InvalidDataException("the host's packet is no pipe message");
    }

    /// <summary>Answers in the request's own buffer, as hv_util.c does.</summary>
    public void Answer(IcRequest request, uint status = 0)
    {
        ArgumentNullException.ThrowIfNull(request);
        BinaryPrimitives.WriteUInt32LittleEndian(request.Packet.AsSpan(StatusOffset), status);
        request.Packet[FlagsOffset] = TransactionAndResponse;
        SendRaw(request.Packet);
    }

    /// <summary>Puts any bytes into the ring (for malformed answers).</summary>
    public void SendRaw(ReadOnlySpan<byte> packet)
    {
        if (!channel.TrySend(PacketType.DataInBand, PacketFlags.None, 0, packet))
        {
            throw new InvalidOperationException("the ring is full");
        }
    }

    /// <summary>Takes the host's first message and picks versions from it; false (and the host is told) when none fits.</summary>
    /// <param name="versions">The message versions this guest knows, best first.</param>
    public bool Negotiate(params (ushort Major, ushort Minor)[] versions)
    {
        IcRequest request = Receive();
        if (request.Type != 0)
        {
            throw new InvalidDataException("the host does not negotiate first");
        }

        Span<byte> body = request.Body;
        int frameworks = BinaryPrimitives.ReadUInt16LittleEndian(body);
        int messages = BinaryPrimitives.ReadUInt16LittleEndian(body[2..]);
        List<(ushort Major, ushort Minor)> known = [];
        for (int i = 0; i < frameworks + messages; i++)
        {
            known.Add((BinaryPrimitives.ReadUInt16LittleEndian(body[(8 + (i * 4))..]), BinaryPrimitives.ReadUInt16LittleEndian(body[(10 + (i * 4))..])));
        }

        Offered = known[frameworks..];
        bool hasFramework = known[..frameworks].Contains((3, 0));
        (ushort Major, ushort Minor)? picked = versions.Where(Offered.Contains).Select(v => ((ushort, ushort)?)v).FirstOrDefault();
        ushort count = hasFramework && picked is not null ? (ushort)1 : (ushort)0;
        BinaryPrimitives.WriteUInt16LittleEndian(body, count);
        BinaryPrimitives.WriteUInt16LittleEndian(body[2..], count);
        BinaryPrimitives.WriteUInt16LittleEndian(body[8..], 3);
        BinaryPrimitives.WriteUInt16LittleEndian(body[10..], 0);
        BinaryPrimitives.WriteUInt16LittleEndian(body[12..], picked?.Major ?? 0);
        BinaryPrimitives.WriteUInt16LittleEndian(body[14..], picked?.Minor ?? 0);
        // The size is that of two versions, whatever the host sent.
        BinaryPrimitives.WriteUInt16LittleEndian(request.Packet.AsSpan(18), 16);
        Answer(request);
        return count == 1;
    }
}

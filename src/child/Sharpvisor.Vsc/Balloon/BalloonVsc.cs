// A guest's balloon driver in C#, after drivers/hv/hv_balloon.c; messages are laid out by offset, independently of the server's structures.
using System.Buffers.Binary;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsc.Balloon;

/// <summary>An open dynamic memory channel. One thread at a time.</summary>
public sealed class BalloonVsc(GuestChannel channel)
{
    private uint _transactionId;

    /// <summary>How long to wait for the host.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(20);

    public GuestChannel Channel => channel;

    /// <summary>DM_VERSION_REQUEST; true when the host takes the version.</summary>
    public bool RequestVersion(ushort major, ushort minor, bool last = false)
    {
        byte[] body = new byte[8];
        BinaryPrimitives.WriteUInt16LittleEndian(body, minor);
        BinaryPrimitives.WriteUInt16LittleEndian(body.AsSpan(2), major);
        body[4] = last ? (byte)1 : (byte)0;
        Send(1, body);
        return Accepted(2);
    }

    /// <summary>DM_CAPABILITIES_REPORT: balloon and hot add with 128 MiB alignment, as Linux says.</summary>
    public bool ReportCapabilities(ulong capabilities = 1 | 2 | (7 << 2))
    {
        byte[] body = new byte[24];
        BinaryPrimitives.WriteUInt64LittleEndian(body, capabilities);
        BinaryPrimitives.WriteUInt64LittleEndian(body.AsSpan(16), ulong.MaxValue);
        Send(3, body);
        return Accepted(4);
    }

    /// <summary>DM_STATUS_REPORT.</summary>
    public void ReportStatus(ulong availablePages, ulong committedPages)
    {
        byte[] body = new byte[40];
        BinaryPrimitives.WriteUInt64LittleEndian(body, availablePages);
        BinaryPrimitives.WriteUInt64LittleEndian(body.AsSpan(8), committedPages);
        Send(5, body);
    }

    /// <summary>DM_BALLOON_RESPONSE with ranges of pages.</summary>
    public void GivePages(bool more, params (ulong FirstPage, ulong Pages)[] ranges)
    {
        byte[] body = new byte[8 + (ranges.Length * 8)];
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(4), ((uint)ranges.Length << 1) | (more ? 1u : 0));
        for (int i = 0; i < ranges.Length; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(body.AsSpan(8 + (i * 8)), ranges[i].FirstPage | (ranges[i].Pages << 40));
        }

        Send(7, body);
    }

    /// <summary>DM_UNBALLOON_RESPONSE.</summary>
    public void Unballooned() => Send(9, []);

    /// <summary>DM_MEM_HOT_ADD_RESPONSE.</summary>
    public void HotAdded(uint pages)
    {
        byte[] body = new byte[8];
        BinaryPrimitives.WriteUInt32LittleEndian(body, pages);
        body[4] = pages > 0 ? (byte)1 : (byte)0;
        Send(11, body);
    }

    /// <summary>Waits for a message of the host: its type, and what follows the header.</summary>
    public (ushort Type, byte[] Body) Receive()
    {
        byte[] packet = channel.Receive(Timeout).Payload;
        int size = BinaryPrimitives.ReadUInt16LittleEndian(packet.AsSpan(2));
        return (BinaryPrimitives.ReadUInt16LittleEndian(packet), packet[8..size]);
    }

    /// <summary>Sends a message with any body.</summary>
    public void Send(ushort type, ReadOnlySpan<byte> body)
    {
        byte[] packet = new byte[8 + body.Length];
        BinaryPrimitives.WriteUInt16LittleEndian(packet, type);
        BinaryPrimitives.WriteUInt16LittleEndian(packet.AsSpan(2), (ushort)packet.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(4), ++_transactionId);
        body.CopyTo(packet.AsSpan(8));
        if (!channel.TrySend(PacketType.DataInBand, PacketFlags.None, 0, packet))
        {
            throw new InvalidOperationException("the ring is full");
        }
    }

    private bool Accepted(ushort type)
    {
        (ushort received, byte[] body) = Receive();
        return received == type
            ? (body[0] & 1) != 0
            : throw new InvalidDataException($"the host sent message {received} instead of {type}");
    }
}

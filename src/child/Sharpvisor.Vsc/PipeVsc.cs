// Messages of a channel in pipe mode, as the guest's mouse and video drivers send and take them: struct pipe_msg_hdr, then a type and a size.
using System.Buffers.Binary;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsc;

/// <summary>The guest's end of a message pipe. One thread at a time.</summary>
/// <param name="channel">The open channel.</param>
/// <param name="sizeIncludesHeader">What the protocol's own size field counts: synthvid's its header too, synthhid's only the body.</param>
public class PipeVsc(GuestChannel channel, bool sizeIncludesHeader)
{
    /// <summary>How long to wait for the host.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(20);

    public GuestChannel Channel => channel;

    /// <summary>False when the ring is full.</summary>
    public bool TrySend(uint type, ReadOnlySpan<byte> body)
    {
        byte[] message = new byte[16 + body.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, 1);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(4), 8 + body.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(8), type);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(12), body.Length + (sizeIncludesHeader ? 8 : 0));
        body.CopyTo(message.AsSpan(16));
        return channel.TrySend(PacketType.DataInBand, PacketFlags.None, 0, message);
    }

    public void Send(uint type, ReadOnlySpan<byte> body)
    {
        if (!TrySend(type, body))
        {
            throw new InvalidOperationException("the ring is full");
        }
    }

    /// <summary>Waits for a message of the host.</summary>
    public (uint Type, byte[] Body) Receive()
    {
        byte[] message = channel.Receive(Timeout).Payload;
        int bytes = BinaryPrimitives.ReadInt32LittleEndian(message.AsSpan(4));
        int stated = BinaryPrimitives.ReadInt32LittleEndian(message.AsSpan(12)) - (sizeIncludesHeader ? 8 : 0);
        return BinaryPrimitives.ReadUInt32LittleEndian(message) == 1 && stated == bytes - 8
            ? (BinaryPrimitives.ReadUInt32LittleEndian(message.AsSpan(8)), message[16..(8 + bytes)])
            : throw new InvalidDataException("a message whose sizes disagree");
    }

    /// <summary>Waits for a message of a type.</summary>
    public byte[] Receive(uint type)
    {
        (uint received, byte[] body) = Receive();
        return received == type ? body : throw new InvalidDataException($"the host sent message {received} instead of {type}");
    }
}

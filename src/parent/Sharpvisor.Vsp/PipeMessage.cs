// The pipe header in front of every message of a channel in message mode: struct pipe_msg_hdr in drivers/gpu/drm/hyperv/hyperv_drm_proto.c,
// struct pipe_prt_msg in drivers/hid/hid-hyperv.c. Mouse and video then have a type and a size of their own.
using System.Buffers.Binary;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp;

internal static class PipeMessage
{
    /// <summary>Pipe header, then the protocol's message header.</summary>
    public const int HeaderBytes = 16;

    private const uint PipeData = 1;

    /// <summary>What a message-mode pipe says in its offer: VMBUS_PIPE_TYPE_MESSAGE of include/linux/hyperv.h.</summary>
    public static ReadOnlyMemory<byte> OfferUserData { get; } = new byte[] { 4, 0, 0, 0 };

    /// <summary>Takes a packet's message apart; false when it is none.</summary>
    public static bool TryParse(in IncomingPacket packet, out uint type, out ReadOnlySpan<byte> body)
    {
        ReadOnlySpan<byte> payload = packet.Payload;
        type = 0;
        body = default;
        if (packet.Type != PacketType.DataInBand || payload.Length < HeaderBytes
            || BinaryPrimitives.ReadUInt32LittleEndian(payload) != PipeData)
        {
            return false;
        }

        // The pipe header's size counts all that follows it; the ring's payload may be padded.
        uint bytes = BinaryPrimitives.ReadUInt32LittleEndian(payload[4..]);
        if (bytes < 8 || bytes > (uint)payload.Length - 8)
        {
            return false;
        }

        type = BinaryPrimitives.ReadUInt32LittleEndian(payload[8..]);
        body = payload[HeaderBytes..(8 + (int)bytes)];
        return true;
    }

    /// <summary>A message with room for a body, whose size the protocol's header states as <paramref name="statedBytes"/>.</summary>
    public static byte[] Create(uint type, int bodyBytes, int statedBytes)
    {
        byte[] message = new byte[HeaderBytes + bodyBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(message, PipeData);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(4), 8 + bodyBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(8), type);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(12), statedBytes);
        return message;
    }
}

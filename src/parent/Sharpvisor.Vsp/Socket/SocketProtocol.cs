// Hyper-V sockets on the wire: net/vmw_vsock/hyperv_transport.c (service ids, struct vmpipe_proto_header), include/linux/hyperv.h
// (pipe.user_def of an offer), OpenVMM's vmbus_core (HvsockUserDefinedParameters).
using System.Buffers.Binary;

namespace Sharpvisor.Vsp.Socket;

internal static class SocketProtocol
{
    /// <summary>struct vmpipe_proto_header: packet type and data size.</summary>
    public const int HeaderBytes = 8;

    /// <summary>HVS_MTU_SIZE: neither end sends more in a packet.</summary>
    public const int MaxDataBytes = 16 << 10;

    /// <summary>A packet with data, or, without any, the end of what its sender sends.</summary>
    public const uint DataPacket = 1;

    private const int UserDataBytes = 27;

    // srv_id_template: 00000000-facb-11e6-bd58-64006a7986d3 with the port in front.
    private static readonly Guid s_template = new("00000000-facb-11e6-bd58-64006a7986d3");

    public static Guid ServiceId(uint port)
    {
        Span<byte> bytes = stackalloc byte[16];
        _ = s_template.TryWriteBytes(bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, port);
        return new Guid(bytes);
    }

    /// <summary>The port of an AF_VSOCK service; false for services that have none.</summary>
    public static bool TryGetPort(Guid serviceId, out uint port)
    {
        Span<byte> bytes = stackalloc byte[16];
        _ = serviceId.TryWriteBytes(bytes);
        port = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        return serviceId == ServiceId(port);
    }

    /// <summary>The offer's user-defined bytes: a byte pipe (0), who connected, no container, version 1 (RS5), no silo.</summary>
    public static byte[] UserData(bool fromHost)
    {
        byte[] bytes = new byte[UserDataBytes];
        bytes[4] = fromHost ? (byte)1 : (byte)0;
        bytes[6] = 1;
        return bytes;
    }

    public static void WriteHeader(Span<byte> packet, int dataBytes)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(packet, DataPacket);
        BinaryPrimitives.WriteInt32LittleEndian(packet[4..], dataBytes);
    }

    /// <summary>The data of a guest's packet; false when it breaks the protocol.</summary>
    public static bool TryGetData(ReadOnlySpan<byte> payload, out ReadOnlySpan<byte> data)
    {
        data = default;
        if (payload.Length < HeaderBytes || BinaryPrimitives.ReadUInt32LittleEndian(payload) != DataPacket)
        {
            return false;
        }

        uint bytes = BinaryPrimitives.ReadUInt32LittleEndian(payload[4..]);
        if (bytes > Math.Min(MaxDataBytes, payload.Length - HeaderBytes))
        {
            return false;
        }

        data = payload.Slice(HeaderBytes, (int)bytes);
        return true;
    }
}

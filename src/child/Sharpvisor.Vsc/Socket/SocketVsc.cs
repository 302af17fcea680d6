// A guest's Hyper-V socket in C#, after net/vmw_vsock/hyperv_transport.c; bytes are laid out by offset, independently of the server's code.
using System.Buffers.Binary;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsc.Socket;

/// <summary>One connected socket. One thread at a time.</summary>
public sealed class SocketVsc(GuestChannel channel)
{
    private const int HeaderBytes = 8;
    private const int MaxSendBytes = 4096 - HeaderBytes;
    private byte[] _received = [];

    public GuestChannel Channel => channel;

    /// <summary>How long to wait for the host.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(20);

    /// <summary>srv_id_template with a port.</summary>
    public static Guid ServiceId(uint port) => new(port, 0xFACB, 0x11E6, 0xBD, 0x58, 0x64, 0x00, 0x6A, 0x79, 0x86, 0xD3);

    /// <summary>hvs_connect: asks for a connection; an offer or a TL_CONNECT_RESULT follows.</summary>
    public static void Request(VmbusClient client, uint guestPort, uint hostPort)
    {
        ArgumentNullException.ThrowIfNull(client);
        client.Post(new TlConnectRequestMessage
        {
            Header = Wire.Header(ChannelMessageType.TlConnectRequest),
            EndpointId = ServiceId(guestPort),
            ServiceId = ServiceId(hostPort),
        });
    }

    /// <summary>hvs_open_connection: opens the channel of the offer that comes next.</summary>
    public static SocketVsc Open(VmbusClient client, int ringPages = 6)
    {
        ArgumentNullException.ThrowIfNull(client);
        OfferChannelMessage offer = client.Expect<OfferChannelMessage>(ChannelMessageType.OfferChannel);
        return new SocketVsc(client.Open(offer, ringPages, ringPages) ?? throw new InvalidOperationException("the host refuses the open"));
    }

    /// <summary>Sends as much as fits into the ring; returns how much that was. The last packet's room is kept for the end, as hv_sock does.</summary>
    public int TrySend(ReadOnlySpan<byte> data)
    {
        int sent = 0;
        while (sent < data.Length)
        {
            int count = Math.Min(data.Length - sent, MaxSendBytes);
            if (channel.Outbound.FreeBytes < (uint)(((count + 7) & ~7) + 80) || !TrySendPacket(1, (uint)count, data.Slice(sent, count)))
            {
                break;
            }

            sent += count;
        }

        return sent;
    }

    /// <summary>Sends all of it, waiting for room.</summary>
    public void Send(ReadOnlySpan<byte> data)
    {
        DateTime limit = DateTime.UtcNow + Timeout;
        while (!data.IsEmpty)
        {
            int sent = TrySend(data);
            data = data[sent..];
            if (sent == 0)
            {
                if (DateTime.UtcNow > limit)
                {
                    throw new TimeoutException("the host takes no data");
                }

                Thread.Sleep(1);
            }
        }
    }

    /// <summary>hvs_shutdown: a packet without data.</summary>
    public bool TryEnd() => TrySendPacket(1, 0, []);

    /// <summary>A packet with any header.</summary>
    public bool TrySendPacket(uint type, uint size, ReadOnlySpan<byte> data)
    {
        byte[] packet = new byte[HeaderBytes + data.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(packet, type);
        BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(4), size);
        data.CopyTo(packet.AsSpan(HeaderBytes));
        return channel.TrySend(PacketType.DataInBand, PacketFlags.None, 0, packet);
    }

    /// <summary>What the host sent next; empty at the end.</summary>
    public byte[] Receive()
    {
        byte[] packet = channel.Receive(Timeout).Payload;
        return BinaryPrimitives.ReadUInt32LittleEndian(packet) == 1
            ? packet[HeaderBytes..(HeaderBytes + BinaryPrimitives.ReadInt32LittleEndian(packet.AsSpan(4)))]
            : throw new InvalidDataException("not a data packet");
    }

    /// <summary>Exactly so many bytes.</summary>
    public byte[] Receive(int bytes)
    {
        var all = new List<byte>(_received);
        while (all.Count < bytes)
        {
            byte[] next = Receive();
            all.AddRange(next.Length > 0 ? next : throw new EndOfStreamException());
        }

        _received = [.. all.Skip(bytes)];
        return [.. all.Take(bytes)];
    }
}

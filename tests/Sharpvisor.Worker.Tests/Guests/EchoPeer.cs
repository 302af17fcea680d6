// A host at the other end of a card's cable: answers ARP, ICMP echo and UDP echo for one IPv4 address, untagged or in a VLAN.
using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Sharpvisor.Core;

namespace Sharpvisor.Worker.Tests.Guests;

/// <summary>The frames come back by a thread of its own, as from a network.</summary>
internal sealed class EchoPeer(byte[] ipv4) : INetworkPort
{
    private static readonly byte[] s_address = [2, 0, 0, 0, 0, 1];
    private readonly BlockingCollection<(byte[] Frame, FrameOffload Offload)> _queue = [];
    private readonly AutoResetEvent _ready = new(false);
    private Thread? _thread;
    private volatile bool _disposed;

    public int MaximumFrameBytes { get; init; } = 65535;

    public bool AcceptsLargeSegments { get; init; } = true;

    /// <summary>Frames seen, by whether they were tagged, large, or left their checksum to be done.</summary>
    public ConcurrentBag<(int Bytes, FrameOffload Offload, int Vlan)> Seen { get; } = [];

    public void Connect(INetworkCard card)
    {
        _thread = new Thread(() => Deliver(card)) { IsBackground = true, Name = "echo" };
        _thread.Start();
    }

    public void Send(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        bool tagged = BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) == 0x8100;
        Seen.Add((frame.Length, offload, tagged ? BinaryPrimitives.ReadUInt16BigEndian(frame[14..]) & 0xFFF : 0));
        byte[] whole = new byte[FrameCompletion.MaximumFrameBytes];
        int position = 0;
        while (FrameCompletion.Next(frame, offload, ref position, whole) is > 0 and int bytes)
        {
            if (Answer(whole.AsSpan(0, bytes), tagged ? 18 : 14) && !_disposed)
            {
                _queue.Add((whole[..bytes], default));
            }
        }
    }

    public void ReceiveReady() => _ready.Set();

    public void Dispose()
    {
        _disposed = true;
        _ready.Set();
        _queue.CompleteAdding();
        _thread?.Join();
    }

    /// <summary>Gives the card a frame.</summary>
    public void Inject(byte[] frame, FrameOffload offload) => _queue.Add((frame, offload));

    private void Deliver(INetworkCard card)
    {
        foreach ((byte[] frame, FrameOffload offload) in _queue.GetConsumingEnumerable())
        {
            while (!_disposed && !card.Receive(frame, offload))
            {
                _ready.WaitOne();
            }
        }
    }

    // Turns a request into its answer, in place.
    private bool Answer(Span<byte> frame, int ip)
    {
        Span<byte> packet = frame[ip..];
        switch (BinaryPrimitives.ReadUInt16BigEndian(frame[(ip - 2)..]))
        {
            case 0x0806 when packet[7] == 1 && packet.Slice(24, 4).SequenceEqual(ipv4):
                packet[7] = 2;
                packet[8..18].CopyTo(packet[18..]);
                s_address.CopyTo(packet[8..]);
                ipv4.CopyTo(packet[14..]);
                break;
            case 0x0800 when packet.Slice(16, 4).SequenceEqual(ipv4):
                packet[12..16].CopyTo(packet[16..]);
                ipv4.CopyTo(packet[12..]);
                if (!AnswerTransport(packet))
                {
                    return false;
                }

                break;
            default:
                return false;
        }

        frame[6..12].CopyTo(frame);
        s_address.CopyTo(frame[6..]);
        return true;
    }

    private static bool AnswerTransport(Span<byte> packet)
    {
        Span<byte> body = packet[((packet[0] & 15) * 4)..];
        if (packet[9] == 1 && (body[0] == 8 || (packet[6] & 0x1F) != 0 || packet[7] != 0))
        {
            // A fragment's later parts are only sent back: the sum does not change but for the type.
            if ((packet[6] & 0x1F) == 0 && packet[7] == 0)
            {
                body[0] = 0;
                ushort sum = (ushort)(FrameCompletion.Fold((ulong)(ushort)~MemoryMarshal.Read<ushort>(body[2..]) + 0xFFFFUL - 8));
                MemoryMarshal.Write(body[2..], (ushort)~sum);
            }

            return true;
        }

        if (packet[9] == 17 && BinaryPrimitives.ReadUInt16BigEndian(body[2..]) == 7)
        {
            // Swapping ports, like swapping addresses, leaves the checksum as it is.
            (body[0], body[1], body[2], body[3]) = (body[2], body[3], body[0], body[1]);
            return true;
        }

        return false;
    }
}

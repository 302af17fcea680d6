// A TAP interface of the host as a port. virtio_net_hdr (VIRTIO 1.2, 5.1.6) carries offloads both ways: the host's own TCP then
// sends segments of 64 KiB and leaves checksums out.
using System.Buffers.Binary;
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.Core.Interop;

namespace Sharpvisor.Network;

/// <summary><c>--net tap=NAME</c>.</summary>
public sealed class TapPort : INetworkPort
{
    private const byte NeedsChecksum = 1;
    private const byte GsoTcp4 = 1;
    private const byte GsoTcp6 = 4;
    private const int EthernetBytes = 14;
    private readonly TapDevice _device;
    private readonly CardGate _card = new();
    private Thread? _receiver;
    private bool _disposed;

    /// <exception cref="NetworkException">There is no such interface, or no permission.</exception>
    public TapPort(string name)
    {
        if (string.IsNullOrEmpty(name) || Encoding.UTF8.GetByteCount(name) > TapDevice.MaximumNameBytes)
        {
            throw new NetworkException($"--net tap={name}: an interface's name has 1 to {TapDevice.MaximumNameBytes} characters");
        }

        _device = TapDevice.Open(name, out int error) ?? throw new NetworkException($"--net tap={name}: " + error switch
        {
            TapDevice.EPERM or TapDevice.EACCES =>
                $"no permission; give yourself the interface: ip tuntap add {name} mode tap user $(id -un), as root",
            TapDevice.ENOENT => "the host has no /dev/net/tun",
            TapDevice.EBUSY => "the interface is in use",
            _ => $"the interface cannot be opened (errno {error})",
        });
    }

    /// <inheritdoc/>
    public int MaximumFrameBytes => FrameStream.MaximumFrameBytes;

    /// <inheritdoc/>
    public bool AcceptsLargeSegments => true;

    /// <inheritdoc/>
    public void Connect(INetworkCard card)
    {
        _card.Connect(card);
        _receiver = new Thread(Receive) { IsBackground = true, Name = "net tap" };
        _receiver.Start();
    }

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        if (frame.Length < EthernetBytes)
        {
            return;
        }

        Span<byte> header = stackalloc byte[TapDevice.HeaderBytes];
        header.Clear();
        if (offload.ChecksumStart != 0)
        {
            header[0] = NeedsChecksum;
            BinaryPrimitives.WriteUInt16LittleEndian(header[6..], offload.ChecksumStart);
            BinaryPrimitives.WriteUInt16LittleEndian(header[8..], offload.ChecksumOffset);
        }

        if (offload.SegmentBytes != 0 && TcpHeaderBytes(frame, offload.ChecksumStart) is > 0 and int headers)
        {
            header[1] = IsVersion6(frame, offload.ChecksumStart) ? GsoTcp6 : GsoTcp4;
            BinaryPrimitives.WriteUInt16LittleEndian(header[2..], (ushort)headers);
            BinaryPrimitives.WriteUInt16LittleEndian(header[4..], offload.SegmentBytes);
        }

        _device.Write(header, frame);
    }

    /// <inheritdoc/>
    public void ReceiveReady() => _card.ReceiveReady();

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _device.Wake();
        _card.Close();
        _receiver?.Join();
        _device.Dispose();
        _card.Dispose();
    }

    // Everything before TCP's payload; 0 when there is no TCP header where the offload says.
    private static int TcpHeaderBytes(ReadOnlySpan<byte> frame, int tcp) =>
        tcp >= EthernetBytes && tcp + 20 <= frame.Length ? tcp + (frame[tcp + 12] >> 4 << 2) : 0;

    // The IP header follows the last EtherType, with any VLAN tags before it.
    private static bool IsVersion6(ReadOnlySpan<byte> frame, int tcp)
    {
        int ip = EthernetBytes;
        while (ip + 4 < tcp && BinaryPrimitives.ReadUInt16BigEndian(frame[(ip - 2)..]) is 0x8100 or 0x88A8)
        {
            ip += 4;
        }

        return frame[ip] >> 4 == 6;
    }

    private void Receive()
    {
        byte[] buffer = new byte[TapDevice.HeaderBytes + FrameCompletion.MaximumFrameBytes];
        int bytes;
        while ((bytes = _device.Read(buffer)) > 0)
        {
            if (bytes < TapDevice.HeaderBytes + EthernetBytes)
            {
                continue;
            }

            ReadOnlySpan<byte> header = buffer.AsSpan(0, TapDevice.HeaderBytes);
            ushort segment = (header[1] & 0x7F) is GsoTcp4 or GsoTcp6 ? BinaryPrimitives.ReadUInt16LittleEndian(header[4..]) : (ushort)0;
            FrameOffload offload = (header[0] & NeedsChecksum) == 0
                ? default
                : new FrameOffload(
                    segment,
                    BinaryPrimitives.ReadUInt16LittleEndian(header[6..]),
                    BinaryPrimitives.ReadUInt16LittleEndian(header[8..]));
            if (!_card.Deliver(buffer.AsSpan(TapDevice.HeaderBytes, bytes - TapDevice.HeaderBytes), offload))
            {
                return;
            }
        }
    }
}

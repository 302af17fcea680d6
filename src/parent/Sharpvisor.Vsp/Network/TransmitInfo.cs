// What the guest left to do on a frame it sends (per-packet info; init_ppi_data and netvsc_xmit in drivers/net/hyperv/netvsc_drv.c),
// turned into a FrameOffload.
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Sharpvisor.Core;

namespace Sharpvisor.Vsp.Network;

internal struct TransmitInfo
{
    private const uint SegmentMask = 0xF_FFFF;
    private TransmitChecksum _checksum;
    private uint _largeSend;
    private bool _hasLargeSend;

    public bool HasVlan { get; private set; }

    /// <summary>The tag control information (IEEE 802.1Q, 9.6).</summary>
    public ushort VlanTag { get; private set; }

    /// <summary>Reads the per-packet info of an RNDIS packet. False when it lies outside or contradicts itself.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, in RndisPacket packet, out TransmitInfo result)
    {
        result = default;
        if (packet.PerPacketInfoBytes == 0)
        {
            return true;
        }

        if (packet.PerPacketInfoOffset > (uint)body.Length || packet.PerPacketInfoBytes > (uint)body.Length - packet.PerPacketInfoOffset)
        {
            return false;
        }

        ReadOnlySpan<byte> infos = body.Slice((int)packet.PerPacketInfoOffset, (int)packet.PerPacketInfoBytes);
        while (infos.Length >= RndisPerPacketInfo.Bytes)
        {
            RndisPerPacketInfo info = MemoryMarshal.Read<RndisPerPacketInfo>(infos);
            // At least its own header: the loop ends.
            if (info.Size < RndisPerPacketInfo.Bytes || info.Size > (uint)infos.Length)
            {
                return false;
            }

            if (info.Offset <= info.Size && info.Size - info.Offset >= sizeof(uint))
            {
                result.Add(info.Type, BinaryPrimitives.ReadUInt32LittleEndian(infos[(int)info.Offset..]));
            }

            infos = infos[(int)info.Size..];
        }

        return true;
    }

    /// <summary>Completes the headers as far as a <see cref="FrameOffload"/> demands. False: the frame is not what the guest says.</summary>
    public readonly bool TryPrepare(Span<byte> frame, out FrameOffload offload)
    {
        offload = default;
        if (_hasLargeSend)
        {
            return TryPrepareLarge(frame, (int)(_largeSend & SegmentMask), out offload);
        }

        if (_checksum == TransmitChecksum.None)
        {
            return true;
        }

        if (!FrameLayout.TryParse(frame, out FrameLayout layout))
        {
            return false;
        }

        if ((_checksum & TransmitChecksum.IPHeader) != 0 && !layout.IsIPv6)
        {
            WriteHeaderChecksum(frame, in layout);
        }

        TransmitChecksum transport = layout.Protocol == FrameLayout.Tcp ? TransmitChecksum.Tcp : TransmitChecksum.Udp;
        if (layout.Transport != 0 && (_checksum & transport) != 0)
        {
            // The field holds the pseudo header's sum (Windows and Linux alike), as a FrameOffload wants it.
            offload = new FrameOffload(0, (ushort)layout.Transport, (ushort)layout.ChecksumOffset);
        }

        return true;
    }

    // Large segments come without lengths: the stack expects the hardware to write them for each piece.
    private static bool TryPrepareLarge(Span<byte> frame, int segmentBytes, out FrameOffload offload)
    {
        offload = default;
        if (segmentBytes == 0 || !FrameLayout.TryParse(frame, out FrameLayout layout, lengthIsMissing: true) || layout.Protocol != FrameLayout.Tcp)
        {
            return false;
        }

        int ipBytes = frame.Length - layout.Network;
        int lengthField = layout.IsIPv6 ? ipBytes - 40 : ipBytes;
        if (lengthField > ushort.MaxValue)
        {
            return false;
        }

        BinaryPrimitives.WriteUInt16BigEndian(frame[(layout.Network + (layout.IsIPv6 ? 4 : 2))..], (ushort)lengthField);
        if (!layout.IsIPv6)
        {
            WriteHeaderChecksum(frame, in layout);
        }

        ushort pseudo = FrameCompletion.Fold(layout.PseudoHeaderSum(frame));
        MemoryMarshal.Write(frame[(layout.Transport + layout.ChecksumOffset)..], in pseudo);
        int payload = frame.Length - layout.Payload;
        ushort segment = payload > segmentBytes ? (ushort)Math.Min(segmentBytes, ushort.MaxValue) : (ushort)0;
        offload = new FrameOffload(segment, (ushort)layout.Transport, (ushort)layout.ChecksumOffset);
        return true;
    }

    private static void WriteHeaderChecksum(Span<byte> frame, in FrameLayout layout)
    {
        Span<byte> header = frame.Slice(layout.Network, (frame[layout.Network] & 0xF) * 4);
        header[10..12].Clear();
        ushort checksum = (ushort)~FrameCompletion.Fold(FrameCompletion.Sum(header, 0));
        MemoryMarshal.Write(header[10..], in checksum);
    }

    private void Add(PerPacketInfoType type, uint value)
    {
        switch (type)
        {
            case PerPacketInfoType.Checksum:
                _checksum = (TransmitChecksum)value;
                break;
            case PerPacketInfoType.LargeSend:
                _largeSend = value;
                _hasLargeSend = true;
                break;
            case PerPacketInfoType.Vlan:
                HasVlan = true;
                VlanTag = (ushort)((value << 13) | ((value >> 3 & 1) << 12) | (value >> 4 & 0xFFF));
                break;
            default:
                // The hash is of use to nobody here.
                break;
        }
    }
}

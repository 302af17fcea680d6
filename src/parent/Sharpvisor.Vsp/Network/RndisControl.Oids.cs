// The objects of a network card (MS-RNDIS 2.2.9 and its "Supported OIDs"; Windows' NDIS reference for offloads and RSS; what Linux asks
// for is in drivers/net/hyperv/rndis_filter.c).
using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Sharpvisor.Core;
using static Sharpvisor.Vsp.Network.NetAdapter;

namespace Sharpvisor.Vsp.Network;

internal sealed partial class RndisControl
{
    // 10 Gbit/s in units of 100 bit/s, as Hyper-V's switch reports itself.
    private const uint LinkSpeed = 100_000_000;
    private const uint MicrosoftVendorId = 0x0015_5D00;
    private const uint FullDuplexNoLoopback = 0x9;

    // The longest large segment: its IP length must fit into 16 bits.
    private const uint MaximumLargeSendBytes = 62 << 10;
    private const uint Encapsulation8023 = 2;
    private const byte OffloadType = 0xA7;
    private const byte ScaleCapabilitiesType = 0x88;
    private const uint ScaleCapabilities = 0x0100_0000 | 0x0200_0000 | 0x0400_0000 | 0x300 | 1;
    private const int OffloadBytes60 = 112;
    private const int OffloadBytes61 = 144;
    private const int OffloadBytes630 = 156;
    private const int ScaleCapabilitiesBytes = 18;
    private const string AddressParameter = "NetworkAddress";

    private uint Query(uint oid, ReadOnlySpan<byte> input, Span<byte> output, out int bytes)
    {
        bytes = sizeof(uint);
        switch (oid)
        {
            case Oid.GenSupportedList:
                for (int i = 0; i < Oid.All.Length; i++)
                {
                    BinaryPrimitives.WriteUInt32LittleEndian(output[(i * sizeof(uint))..], Oid.All[i]);
                }

                bytes = Oid.All.Length * sizeof(uint);
                return RndisStatus.Success;
            case Oid.Ieee8023PermanentAddress:
                vsp.Address.CopyTo(output);
                bytes = MacAddress.Bytes;
                return RndisStatus.Success;
            case Oid.Ieee8023CurrentAddress:
                adapter.FilterAddress.CopyTo(output);
                bytes = MacAddress.Bytes;
                return RndisStatus.Success;
            case Oid.GenVendorDescription:
                bytes = Encoding.ASCII.GetBytes("Microsoft Hyper-V Network Adapter", output) + 1;
                return RndisStatus.Success;
            case Oid.GenFriendlyName:
                // Linux makes any other name than Hyper-V's default the interface's alias.
                bytes = Encoding.Unicode.GetBytes("Network Adapter", output) + 2;
                return RndisStatus.Success;
            case Oid.GenXmitOk:
                return Count(vsp.Counters.TransmitFrames, output, out bytes);
            case Oid.GenRcvOk:
                return Count(vsp.Counters.ReceiveFrames, output, out bytes);
            case Oid.GenXmitError:
                return Count(vsp.Counters.TransmitDropped, output, out bytes);
            case Oid.GenRcvError:
                return Count(vsp.Counters.ReceiveDropped, output, out bytes);
            case Oid.GenRcvNoBuffer:
                return Count(vsp.Counters.ReceiveRefused, output, out bytes);
            case Oid.TcpOffloadHardwareCapabilities:
                return QueryOffload(input, output, out bytes);
            case Oid.GenReceiveScaleCapabilities:
                return QueryScaling(input, output, out bytes);
            default:
                bytes = 0;
                if (QueryWord(oid) is not { } value)
                {
                    return RndisStatus.NotSupported;
                }

                bytes = sizeof(uint);
                BinaryPrimitives.WriteUInt32LittleEndian(output, value);
                return RndisStatus.Success;
        }
    }

    private uint? QueryWord(uint oid)
    {
        uint payload = (uint)adapter.MaximumPayloadBytes;
        uint frame = payload + FrameLayout.EthernetBytes;
        return oid switch
        {
            Oid.GenHardwareStatus or Oid.GenMediaSupported or Oid.GenMediaInUse or Oid.GenPhysicalMedium or Oid.Ieee8023MulticastList => 0,
            Oid.Ieee8023RcvErrorAlignment or Oid.Ieee8023XmitOneCollision or Oid.Ieee8023XmitMoreCollisions => 0,
            Oid.GenMaximumFrameSize or Oid.GenMaximumLookahead or Oid.GenCurrentLookahead => payload,
            Oid.GenMaximumTotalSize or Oid.GenTransmitBlockSize or Oid.GenReceiveBlockSize => frame,
            Oid.GenTransmitBufferSpace or Oid.GenReceiveBufferSpace => frame * MaximumPacketsPerMessage,
            Oid.GenLinkSpeed => LinkSpeed,
            Oid.GenVendorId => MicrosoftVendorId,
            Oid.GenVendorDriverVersion => 0x0001_0000,
            Oid.GenCurrentPacketFilter => (uint)adapter.Filter,
            Oid.GenMacOptions => FullDuplexNoLoopback,
            Oid.GenMediaConnectStatus => vsp.IsLinkUp ? 0u : 1u,
            Oid.GenMaximumSendPackets => MaximumPacketsPerMessage,
            Oid.Ieee8023MaximumListSize => 32,
            _ => null,
        };
    }

    private static uint Count(Counter counter, Span<byte> output, out int bytes)
    {
        bytes = sizeof(ulong);
        BinaryPrimitives.WriteInt64LittleEndian(output, counter.Value);
        return RndisStatus.Success;
    }

    // struct ndis_offload: the guest says which revision it knows.
    private uint QueryOffload(ReadOnlySpan<byte> input, Span<byte> output, out int bytes)
    {
        bytes = 0;
        if (input.Length < 4 || input[0] != OffloadType || input[1] == 0)
        {
            return RndisStatus.InvalidData;
        }

        (byte revision, int size) = input[1] switch
        {
            1 => ((byte)1, OffloadBytes60),
            2 => ((byte)2, OffloadBytes61),
            _ => ((byte)3, OffloadBytes630),
        };
        if (input.Length < size)
        {
            return RndisStatus.InvalidLength;
        }

        bytes = size;
        output[..size].Clear();
        output[0] = OffloadType;
        output[1] = revision;
        BinaryPrimitives.WriteUInt16LittleEndian(output[2..], (ushort)size);
        // IPv4: IP options, TCP options, TCP, UDP, IP header. IPv6: extension headers, TCP options, TCP, UDP.
        ReadOnlySpan<uint> checksums = [Encapsulation8023, 0x155, Encapsulation8023, 0x155, Encapsulation8023, 0x55, Encapsulation8023, 0x55];
        Words(checksums, output[4..]);
        Words([Encapsulation8023, MaximumLargeSendBytes, 2, 5], output[36..]);
        // LSO v2: encapsulation, longest, fewest segments for IPv4 and IPv6, and IPv6 with extension headers and TCP options.
        Words([Encapsulation8023, MaximumLargeSendBytes, 2, Encapsulation8023, MaximumLargeSendBytes, 2, 5], output[80..]);
        if (size == OffloadBytes630 && adapter.CanCoalesce)
        {
            output[144] = output[145] = 1;
        }

        return RndisStatus.Success;
    }

    // struct ndis_recv_scale_cap.
    private uint QueryScaling(ReadOnlySpan<byte> input, Span<byte> output, out int bytes)
    {
        bytes = 0;
        if (input.Length < ScaleCapabilitiesBytes)
        {
            return RndisStatus.InvalidLength;
        }

        bytes = ScaleCapabilitiesBytes;
        output[0] = ScaleCapabilitiesType;
        output[1] = 2;
        BinaryPrimitives.WriteUInt16LittleEndian(output[2..], ScaleCapabilitiesBytes);
        uint channels = (uint)adapter.MaximumChannels;
        Words([ScaleCapabilities, channels, channels], output[4..]);
        BinaryPrimitives.WriteUInt16LittleEndian(output[16..], ReceiveScaling.TableEntries);
        return RndisStatus.Success;
    }

    private uint Set(uint oid, ReadOnlySpan<byte> input)
    {
        switch (oid)
        {
            case Oid.GenCurrentPacketFilter when input.Length >= sizeof(uint):
                adapter.SetFilter((PacketFilter)BinaryPrimitives.ReadUInt32LittleEndian(input));
                return RndisStatus.Success;
            case Oid.TcpOffloadParameters:
                return SetOffloads(input);
            case Oid.GenReceiveScaleParameters:
                return adapter.TrySetScaling(input) ? RndisStatus.Success : RndisStatus.InvalidData;
            case Oid.GenRndisConfigParameter:
                return SetParameter(input);
            case Oid.GenCurrentLookahead or Oid.Ieee8023MulticastList:
                // All multicast frames pass when any do, as with RNDIS_PACKET_TYPE_ALL_MULTICAST, which Linux asks for.
                return RndisStatus.Success;
            case Oid.GenCurrentPacketFilter:
                return RndisStatus.InvalidLength;
            default:
                return RndisStatus.NotSupported;
        }
    }

    // struct ndis_offload_params: a byte for each offload; 0 leaves it as it is.
    private uint SetOffloads(ReadOnlySpan<byte> input)
    {
        const int ChecksumsEnd = 9;
        const int CoalesceOffset = 22;
        if (input.Length < ChecksumsEnd)
        {
            return RndisStatus.InvalidLength;
        }

        ReceiveOffloads clear = ReceiveOffloads.None;
        ReceiveOffloads set = ReceiveOffloads.None;
        // 1 disables both directions, 2 enables transmission, 3 reception, 4 both. What the guest sends asks for itself, packet by packet.
        Checksum(input[5], ReceiveOffloads.Tcp4);
        Checksum(input[6], ReceiveOffloads.Udp4);
        Checksum(input[7], ReceiveOffloads.Tcp6);
        Checksum(input[8], ReceiveOffloads.Udp6);
        if (input.Length >= CoalesceOffset + 2 && adapter.CanCoalesce)
        {
            Coalesce(input[CoalesceOffset], ReceiveOffloads.Coalesce4);
            Coalesce(input[CoalesceOffset + 1], ReceiveOffloads.Coalesce6);
        }

        adapter.SetOffloads(clear, set);
        return RndisStatus.Success;

        void Checksum(byte value, ReceiveOffloads offload)
        {
            clear |= value is 1 or 2 ? offload : 0;
            set |= value is 3 or 4 ? offload : 0;
        }

        void Coalesce(byte value, ReceiveOffloads offload)
        {
            clear |= value == 1 ? offload : 0;
            set |= value == 2 ? offload : 0;
        }
    }

    // struct rndis_config_parameter_info. Only the address can be set: "NetworkAddress", a string of twelve hexadecimal digits.
    private uint SetParameter(ReadOnlySpan<byte> input)
    {
        if (input.Length < 20 || !TryText(input, 0, out string name) || name != AddressParameter || !TryText(input, 12, out string value)
            || value.Length != 2 * MacAddress.Bytes || !ulong.TryParse(value, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong address))
        {
            return RndisStatus.NotSupported;
        }

        adapter.SetFilterAddress(new MacAddress(address));
        return RndisStatus.Success;
    }

    private static bool TryText(ReadOnlySpan<byte> input, int field, out string text)
    {
        const int MaximumTextBytes = 64;
        uint offset = BinaryPrimitives.ReadUInt32LittleEndian(input[field..]);
        uint bytes = BinaryPrimitives.ReadUInt32LittleEndian(input[(field + 4)..]);
        bool inside = bytes <= MaximumTextBytes && (ulong)offset + bytes <= (uint)input.Length;
        text = inside ? Encoding.Unicode.GetString(input.Slice((int)offset, (int)bytes)) : string.Empty;
        return inside;
    }

    private static void Words(ReadOnlySpan<uint> words, Span<byte> output)
    {
        for (int i = 0; i < words.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(output[(i * sizeof(uint))..], words[i]);
        }
    }
}

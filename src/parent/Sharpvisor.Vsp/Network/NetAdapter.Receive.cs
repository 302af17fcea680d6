// Frames for the guest: each becomes an RNDIS packet in a section of the receive buffer, and sections go to the guest in a
// transfer-pages packet (netvsc_receive in drivers/net/hyperv/netvsc.c, rndis_filter_receive_data in rndis_filter.c).
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp.Network;

internal sealed partial class NetAdapter
{
    // Hyper-V's section size for the usual MTU.
    private const int MinimumSectionBytes = 1728;
    private const int MessageHeaderBytes = 8;
    private const int MaximumInfos = 4;
    private const int InfoBytes = RndisPerPacketInfo.Bytes + sizeof(uint);
    private const int MaximumHeaderBytes = MessageHeaderBytes + RndisPacket.Bytes + (MaximumInfos * InfoBytes);

    /// <summary>Sections that frames leave free for answers to the guest's control messages.</summary>
    private const int ReservedSections = 4;

    /// <summary>A guest that takes no answers gets no more than these.</summary>
    private const int MaximumWaitingControls = 64;
    private const int MaximumRanges = 256;
    private const ReceiveOffloads Coalescing = ReceiveOffloads.Coalesce4 | ReceiveOffloads.Coalesce6;

    private readonly byte[] _scratch = GC.AllocateUninitializedArray<byte>(FrameCompletion.MaximumFrameBytes);
    private readonly TransferPageRange[] _ranges = new TransferPageRange[MaximumRanges];
    private readonly Queue<byte[]> _waitingControls = new();
    private readonly ReceiveScaling _scaling = new();
    private readonly ReceiveCoalescer _coalescer = new();
    private ReceiveBuffer? _receiveBuffer;
    private PacketFilter _filter;
    private ReceiveOffloads _offloads = ReceiveOffloads.AllChecksums;
    private bool _isInitialized;
    // The packet being made.
    private int _rangeCount;
    private int _firstSection;
    private int _lastSection;

    /// <summary>What the guest's driver wants done for it.</summary>
    [Flags]
    public enum ReceiveOffloads
    {
        None = 0,
        Tcp4 = 1,
        Udp4 = 2,
        Tcp6 = 4,
        Udp6 = 8,
        AllChecksums = 0xF,
        Coalesce4 = 0x10,
        Coalesce6 = 0x20,
    }

    /// <summary>The address that directed frames are for.</summary>
    public MacAddress FilterAddress { get; private set; }

    public PacketFilter Filter => _filter;

    /// <summary>RNDIS is initialized: the guest may send.</summary>
    public bool IsInitialized => Volatile.Read(ref _isInitialized);

    public bool IsReceiving => _isInitialized && _filter != PacketFilter.None;

    /// <summary>
    /// A frame from the port; under the lock. One that more follow is held back, to be put together with them. False: no room, and the
    /// frame was not taken.
    /// </summary>
    public bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload, bool more)
    {
        if (!_coalescer.IsEmpty && offload == default && _coalescer.TryAdd(frame))
        {
            // Should it not go now, it goes when there is room: the frame is taken.
            _ = (more && !_coalescer.IsClosed) || DeliverHeld();
            return true;
        }

        if (!DeliverHeld())
        {
            return false;
        }

        return (more && offload == default && (_offloads & Coalescing) == Coalescing && IsReceiving && IsForGuest(frame) && _coalescer.TryStart(frame))
            || Deliver(frame, offload);
    }

    /// <summary>Delivers what was held back; under the lock. False: there is no room for it.</summary>
    public bool DeliverHeld()
    {
        if (_coalescer.IsEmpty)
        {
            return true;
        }

        _coalescer.Finish();
        if (!Deliver(_coalescer.Packet, _coalescer.Offload))
        {
            return false;
        }

        _coalescer.Clear();
        return true;
    }

    // False: no room.
    private bool Deliver(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        if (_receiveBuffer is not { } buffer || !IsReceiving || frame.Length < FrameLayout.EthernetBytes || !IsForGuest(frame))
        {
            return true;
        }

        bool isIP = FrameLayout.TryParse(frame, out FrameLayout layout);
        bool coalesce = offload.SegmentBytes != 0 && isIP && layout.Protocol == FrameLayout.Tcp
            && (_offloads & (layout.IsIPv6 ? ReceiveOffloads.Coalesce6 : ReceiveOffloads.Coalesce4)) != 0;
        int sections = offload.SegmentBytes == 0 ? 1
            : (frame.Length / (coalesce ? buffer.SectionBytes - MaximumHeaderBytes : offload.SegmentBytes)) + 1;
        if (frame.Length > _scratch.Length || sections > buffer.Count - ReservedSections || (coalesce && sections > MaximumRanges))
        {
            _vsp.Counters.ReceiveDropped.Increment();
            return true;
        }

        if (sections > buffer.FreeCount - ReservedSections)
        {
            _vsp.Counters.ReceiveRefused.Increment();
            return false;
        }

        VmbusChannel channel = _primary;
        var info = new PacketInfo();
        if (isIP && _scaling.IsEnabled)
        {
            info.Hash = _scaling.Hash(frame, in layout);
            info.HasHash = true;
            channel = _channels[_scaling.Channel(info.Hash)] ?? channel;
        }

        _rangeCount = 0;
        _firstSection = _lastSection = -1;
        bool accepted = offload.SegmentBytes == 0 ? DeliverFrame(channel, frame, offload, info)
            : coalesce ? DeliverCoalesced(channel, frame, in layout, info)
            : DeliverSegments(channel, frame, offload, info);
        if (accepted)
        {
            _vsp.Counters.ReceiveFrames.Increment();
            _vsp.Counters.ReceiveBytes.Add(frame.Length);
        }
        else
        {
            _vsp.Counters.ReceiveRefused.Increment();
        }

        return accepted;
    }

    /// <summary>The guest is done with a packet that was lent to it.</summary>
    public void Return(ulong transactionId)
    {
        lock (_lock)
        {
            if (_receiveBuffer?.TryReturn(transactionId) == true && _waitingControls.Count > 0)
            {
                SendWaitingControls();
            }
        }
    }

    /// <summary>The primary channel's ring has room again.</summary>
    public void OnWritable()
    {
        lock (_lock)
        {
            SendWaitingControls();
        }
    }

    /// <summary>Sends an RNDIS message that is no frame, now or when there is room. False when too many wait already.</summary>
    public bool SendControl(ReadOnlySpan<byte> message)
    {
        lock (_lock)
        {
            if (_waitingControls.Count >= MaximumWaitingControls)
            {
                return false;
            }

            if (_waitingControls.Count > 0 || !TrySendControl(message))
            {
                _waitingControls.Enqueue(message.ToArray());
            }

            return true;
        }
    }

    /// <summary>The cable was plugged in or out; under the lock.</summary>
    public void AnnounceLink(bool connected)
    {
        if (_isInitialized)
        {
            Span<byte> message = stackalloc byte[RndisControl.IndicateBytes];
            RndisControl.FormatLinkStatus(connected, message);
            SendControl(message);
        }
    }

    /// <summary>RNDIS is initialized.</summary>
    public void Start()
    {
        lock (_lock)
        {
            _isInitialized = true;
            _filter = PacketFilter.None;
        }
    }

    /// <summary>Halt or the end of the receive buffer: no frames any more, and whatever was set is forgotten.</summary>
    public void Stop()
    {
        lock (_lock)
        {
            _isInitialized = false;
            _filter = PacketFilter.None;
            _offloads = ReceiveOffloads.AllChecksums;
            _scaling.Reset();
            _coalescer.Clear();
            _waitingControls.Clear();
        }
    }

    public void SetFilter(PacketFilter filter)
    {
        lock (_lock)
        {
            _filter = filter;
        }
    }

    public void SetFilterAddress(MacAddress address)
    {
        lock (_lock)
        {
            FilterAddress = address;
        }
    }

    public void SetOffloads(ReceiveOffloads clear, ReceiveOffloads set)
    {
        lock (_lock)
        {
            _offloads = (_offloads & ~clear) | set;
        }
    }

    public bool TrySetScaling(ReadOnlySpan<byte> parameters)
    {
        lock (_lock)
        {
            return _scaling.TrySet(parameters, MaximumChannels);
        }
    }

    // A tag that the guest does not want apart is part of the frame.
    private static int SectionBytesFor(int frameBytes) =>
        Math.Max(MinimumSectionBytes, (frameBytes + FrameLayout.VlanTagBytes + MaximumHeaderBytes + 63) & ~63);

    private bool IsForGuest(ReadOnlySpan<byte> frame)
    {
        if ((_filter & PacketFilter.Promiscuous) != 0)
        {
            return true;
        }

        MacAddress destination = MacAddress.Read(frame);
        PacketFilter kind = (frame[0] & 1) == 0 ? PacketFilter.Directed
            : destination.Value == 0xFFFF_FFFF_FFFF ? PacketFilter.Broadcast
            : PacketFilter.Multicast | PacketFilter.AllMulticast;
        return (_filter & kind) != 0 && (kind != PacketFilter.Directed || destination == FilterAddress);
    }

    private bool DeliverFrame(VmbusChannel channel, ReadOnlySpan<byte> frame, FrameOffload offload, PacketInfo info)
    {
        bool isChecked = offload.ChecksumStart != 0;
        if (isChecked)
        {
            int position = 0;
            int bytes = FrameCompletion.Next(frame, offload, ref position, _scratch);
            frame = _scratch.AsSpan(0, bytes);
        }

        return Append(frame, info, isChecked) ? Submit(channel) : Drop();
    }

    private bool DeliverSegments(VmbusChannel channel, ReadOnlySpan<byte> frame, FrameOffload offload, PacketInfo info)
    {
        bool submitted = false;
        int position = 0;
        while (FrameCompletion.Next(frame, offload, ref position, _scratch) is > 0 and int bytes)
        {
            if (!Append(_scratch.AsSpan(0, bytes), info, isChecked: true))
            {
                return Drop();
            }

            if (_rangeCount == MaximumRanges)
            {
                if (!Submit(channel))
                {
                    // What of it is there already would come twice: the rest is lost, and TCP repeats it.
                    return submitted;
                }

                submitted = true;
            }
        }

        return _rangeCount == 0 || Submit(channel) || submitted;
    }

    // A large segment goes to the guest in one piece, over several sections (RSC; rsc_add_data in rndis_filter.c).
    private bool DeliverCoalesced(VmbusChannel channel, ReadOnlySpan<byte> frame, in FrameLayout layout, PacketInfo info)
    {
        info.Checksum = ReceiveChecksum.TcpSucceeded | (layout.IsIPv6 ? ReceiveChecksum.None : ReceiveChecksum.IPSucceeded);
        info.HasChecksum = true;
        frame = WithoutTag(frame, ref info);
        info.PacketId = PacketIdFlags.Version1 | PacketIdFlags.SubAllocation | PacketIdFlags.First;
        int room = _receiveBuffer!.SectionBytes - MaximumHeaderBytes;
        while (!frame.IsEmpty)
        {
            int bytes = Math.Min(room, frame.Length);
            info.PacketId |= bytes == frame.Length ? PacketIdFlags.Last : 0;
            if (!AppendSection(frame[..bytes], in info))
            {
                return Drop();
            }

            frame = frame[bytes..];
            // The first piece says it for all.
            info = new PacketInfo { PacketId = PacketIdFlags.Version1 | PacketIdFlags.SubAllocation };
        }

        return Submit(channel);
    }

    private bool Append(ReadOnlySpan<byte> frame, PacketInfo info, bool isChecked)
    {
        if (frame.IsEmpty)
        {
            return false;
        }

        info.Checksum = Verify(frame, isChecked);
        info.HasChecksum = info.Checksum != ReceiveChecksum.None;
        frame = WithoutTag(frame, ref info);
        return AppendSection(frame, in info);
    }

    // The host adds a frame up in no time; the guest's processor would not.
    private ReceiveChecksum Verify(ReadOnlySpan<byte> frame, bool isChecked)
    {
        if (!FrameLayout.TryParse(frame, out FrameLayout layout))
        {
            return ReceiveChecksum.None;
        }

        ReceiveChecksum result = layout.VerifyNetwork(frame) switch
        {
            ChecksumState.Good => ReceiveChecksum.IPSucceeded,
            ChecksumState.Bad => ReceiveChecksum.IPFailed,
            _ => ReceiveChecksum.None,
        };
        bool tcp = layout.Protocol == FrameLayout.Tcp;
        ReceiveOffloads wanted = layout.IsIPv6 ? (tcp ? ReceiveOffloads.Tcp6 : ReceiveOffloads.Udp6) : (tcp ? ReceiveOffloads.Tcp4 : ReceiveOffloads.Udp4);
        if (layout.Transport == 0 || (_offloads & wanted) == 0)
        {
            return result;
        }

        return result | (isChecked ? ChecksumState.Good : layout.VerifyTransport(frame)) switch
        {
            ChecksumState.Good => tcp ? ReceiveChecksum.TcpSucceeded : ReceiveChecksum.UdpSucceeded,
            ChecksumState.Bad => tcp ? ReceiveChecksum.TcpFailed : ReceiveChecksum.UdpFailed,
            _ => ReceiveChecksum.None,
        };
    }

    // IEEE 802.1Q: the guest gets the tag beside the frame.
    private ReadOnlySpan<byte> WithoutTag(ReadOnlySpan<byte> frame, scoped ref PacketInfo info)
    {
        const int Addresses = 2 * MacAddress.Bytes;
        if ((_capabilities & NvspCapabilities.Ieee8021Q) == 0 || frame.Length < FrameLayout.EthernetBytes + FrameLayout.VlanTagBytes
            || BinaryPrimitives.ReadUInt16BigEndian(frame[Addresses..]) != FrameLayout.EtherTypeVlan)
        {
            return frame;
        }

        uint tag = BinaryPrimitives.ReadUInt16BigEndian(frame[(Addresses + 2)..]);
        info.Vlan = (tag >> 13) | ((tag >> 12 & 1) << 3) | ((tag & 0xFFF) << 4);
        info.HasVlan = true;
        frame[..Addresses].CopyTo(_scratch);
        frame[(Addresses + FrameLayout.VlanTagBytes)..].CopyTo(_scratch.AsSpan(Addresses));
        return _scratch.AsSpan(0, frame.Length - FrameLayout.VlanTagBytes);
    }

    private bool AppendSection(ReadOnlySpan<byte> data, in PacketInfo info)
    {
        ReceiveBuffer buffer = _receiveBuffer!;
        if (_rangeCount == MaximumRanges || buffer.FreeCount == 0)
        {
            return false;
        }

        Span<byte> header = stackalloc byte[MaximumHeaderBytes];
        int headerBytes = info.Format(header, data.Length);
        int section = buffer.Take(_lastSection);
        _firstSection = _firstSection < 0 ? section : _firstSection;
        _lastSection = section;
        _ranges[_rangeCount++] = new TransferPageRange
        {
            ByteOffset = (uint)(section * buffer.SectionBytes),
            ByteCount = (uint)(headerBytes + data.Length),
        };
        return buffer.TryWrite(section, 0, header[..headerBytes]) && buffer.TryWrite(section, headerBytes, data);
    }

    /// <summary>Gives up the packet being made. The frame counts as taken: another attempt would end the same.</summary>
    private bool Drop()
    {
        _vsp.Counters.ReceiveDropped.Increment();
        Discard();
        return true;
    }

    private void Discard()
    {
        _receiveBuffer!.GiveBack(_firstSection);
        _rangeCount = 0;
        _firstSection = _lastSection = -1;
    }

    /// <returns>False when the ring is full; the sections are free again then.</returns>
    private bool Submit(VmbusChannel channel, uint channelType = NvspRndisPacket.DataChannel)
    {
        ReceiveBuffer buffer = _receiveBuffer!;
        var message = new NvspRndisPacket { Type = NvspMessageType.SendRndisPacket, ChannelType = channelType, SectionIndex = NvspRndisPacket.NoSection };
        // Before the guest can see it: its completion may come at once.
        ulong transactionId = buffer.Lend(_firstSection);
        RingWriteStatus status = channel.TryWriteTransferPages(
            PacketFlags.CompletionRequested, transactionId, buffer.Id, _ranges.AsSpan(0, _rangeCount), MemoryMarshal.AsBytes(new ReadOnlySpan<NvspRndisPacket>(in message)));
        _rangeCount = 0;
        _firstSection = _lastSection = -1;
        if (status == RingWriteStatus.Written)
        {
            _vsp.Counters.ReceivePackets.Increment();
            return true;
        }

        _ = buffer.TryReturn(transactionId);
        return status != RingWriteStatus.Full;
    }

    private bool TrySendControl(ReadOnlySpan<byte> message)
    {
        if (_receiveBuffer is not { } buffer)
        {
            // No place for an answer, and nobody who could get it.
            return true;
        }

        if (buffer.FreeCount == 0)
        {
            return false;
        }

        _firstSection = _lastSection = buffer.Take(-1);
        _rangeCount = 1;
        _ranges[0] = new TransferPageRange { ByteOffset = (uint)(_firstSection * buffer.SectionBytes), ByteCount = (uint)message.Length };
        if (!buffer.TryWrite(_firstSection, 0, message))
        {
            Discard();
            return true;
        }

        return Submit(_primary, NvspRndisPacket.ControlChannel);
    }

    private void SendWaitingControls()
    {
        while (_waitingControls.TryPeek(out byte[]? message) && TrySendControl(message))
        {
            _waitingControls.Dequeue();
        }
    }

    /// <summary>What is told beside a frame.</summary>
    private struct PacketInfo
    {
        public ReceiveChecksum Checksum;
        public PacketIdFlags PacketId;
        public uint Vlan;
        public uint Hash;
        public bool HasChecksum;
        public bool HasVlan;
        public bool HasHash;

        /// <summary>Writes the RNDIS message before its data; returns its length.</summary>
        public readonly int Format(Span<byte> header, int dataBytes)
        {
            const int Infos = MessageHeaderBytes + RndisPacket.Bytes;
            int at = Infos;
            at += HasVlan ? FormatInfo(header[at..], PerPacketInfoType.Vlan, Vlan) : 0;
            at += HasChecksum ? FormatInfo(header[at..], PerPacketInfoType.Checksum, (uint)Checksum) : 0;
            at += HasHash ? FormatInfo(header[at..], PerPacketInfoType.HashValue, Hash) : 0;
            at += PacketId != 0 ? FormatInfo(header[at..], PerPacketInfoType.PacketId, (uint)PacketId) : 0;
            BinaryPrimitives.WriteUInt32LittleEndian(header, (uint)RndisMessageType.Packet);
            BinaryPrimitives.WriteUInt32LittleEndian(header[4..], (uint)(at + dataBytes));
            var packet = new RndisPacket
            {
                DataOffset = (uint)(at - MessageHeaderBytes),
                DataBytes = (uint)dataBytes,
                PerPacketInfoOffset = at > Infos ? RndisPacket.Bytes : 0u,
                PerPacketInfoBytes = (uint)(at - Infos),
            };
            MemoryMarshal.Write(header[MessageHeaderBytes..], in packet);
            return at;
        }

        private static int FormatInfo(Span<byte> destination, PerPacketInfoType type, uint value)
        {
            var info = new RndisPerPacketInfo { Size = InfoBytes, Type = type, Offset = RndisPerPacketInfo.Bytes };
            MemoryMarshal.Write(destination, in info);
            BinaryPrimitives.WriteUInt32LittleEndian(destination[RndisPerPacketInfo.Bytes..], value);
            return InfoBytes;
        }
    }
}

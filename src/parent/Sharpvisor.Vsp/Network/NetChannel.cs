// One open network channel: takes the guest's NVSP messages, and frames from its RNDIS packets (drivers/net/hyperv/netvsc.c,
// netvsc_send; netvsc_drv.c, netvsc_xmit).
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp.Network;

internal sealed class NetChannel(NetVsp vsp, NetAdapter adapter, ushort index) : IChannelHandler
{
    /// <summary>The longest RNDIS message: a batch in a section of the send buffer and a large segment by page numbers fit.</summary>
    public const int MaximumMessageBytes = 128 << 10;

    // nvsp_message_header and nvsp_1_message_send_rndis_packet_complete.
    private const int CompletionBytes = 8;
    private const int HeaderBytes = 8;
    // A private copy of the message: the guest cannot change it while it is looked at.
    private byte[] _message = new byte[8 << 10];
    private byte[] _scratch = [];
    private NvspMessage _answer;
    private int _answerBytes;
    private ulong _answerTransaction;
    private bool _answerOwed;
    private bool _readyOwed;

    public void OnOpened(VmbusChannel channel) => adapter.OnOpened(channel);

    public bool OnPacket(VmbusChannel channel, in IncomingPacket packet)
    {
        if (_answerOwed && !TryAnswer(channel))
        {
            return false;
        }

        if (packet.Type == PacketType.Completion)
        {
            adapter.Return(packet.TransactionId);
            _readyOwed = true;
            return true;
        }

        if (packet.Type is not (PacketType.DataInBand or PacketType.DataUsingGpaDirect))
        {
            return true;
        }

        NvspMessage message = default;
        Span<byte> bytes = MemoryMarshal.AsBytes(new Span<NvspMessage>(ref message));
        packet.Payload[..Math.Min(packet.Payload.Length, bytes.Length)].CopyTo(bytes);
        if (message.Type == NvspMessageType.SendRndisPacket)
        {
            uint status = Receive(channel, in message, in packet);
            _answer = new NvspMessage { Type = NvspMessageType.SendRndisPacketComplete, Word0 = status };
            _answerBytes = CompletionBytes;
        }
        else
        {
            bool answers = index == 0 && adapter.Negotiate(in message, out _answer);
            _answerBytes = answers ? NvspMessage.Bytes : 0;
        }

        if (packet.CompletionRequested)
        {
            _answerTransaction = packet.TransactionId;
            _answerOwed = true;
            // Should it not fit now it is owed: the packet has been dealt with and must not come again.
            _ = TryAnswer(channel);
        }

        return true;
    }

    public void OnBatchEnd(VmbusChannel channel)
    {
        if (_readyOwed)
        {
            _readyOwed = false;
            vsp.NotifyReady();
        }
    }

    public void OnWritable(VmbusChannel channel)
    {
        if (_answerOwed)
        {
            TryAnswer(channel);
        }

        if (index == 0)
        {
            adapter.OnWritable();
        }

        vsp.NotifyReady();
    }

    public void OnClosed(VmbusChannel channel) => adapter.OnClosed(channel);

    private bool TryAnswer(VmbusChannel channel)
    {
        ReadOnlySpan<byte> answer = MemoryMarshal.AsBytes(new ReadOnlySpan<NvspMessage>(in _answer))[.._answerBytes];
        _answerOwed = channel.TryWriteCompletion(_answerTransaction, answer) == RingWriteStatus.Full;
        return !_answerOwed;
    }

    private uint Receive(VmbusChannel channel, in NvspMessage nvsp, in IncomingPacket packet)
    {
        (uint section, uint sectionBytes) = (nvsp.Word1, nvsp.Word2);
        long rangeBytes = packet.Ranges?.TotalBytes ?? 0;
        sectionBytes = section == NvspRndisPacket.NoSection ? 0 : sectionBytes;
        if (sectionBytes > NetAdapter.SendSectionBytes || rangeBytes > MaximumMessageBytes - sectionBytes)
        {
            return NvspStatus.InvalidRndisPacket;
        }

        int total = (int)(sectionBytes + rangeBytes);
        if (total > _message.Length)
        {
            _message = new byte[Math.Min(Math.Max(total, _message.Length * 4), MaximumMessageBytes)];
        }

        // drivers/net/hyperv puts headers into a section and the last frame's data behind them by page numbers (cp_partial).
        if ((sectionBytes > 0
                && adapter.SendBuffer?.TryRead((long)section * NetAdapter.SendSectionBytes, _message.AsSpan(0, (int)sectionBytes)) != true)
            || (rangeBytes > 0 && !packet.Ranges!.TryRead(channel.Memory, 0, _message.AsSpan((int)sectionBytes, (int)rangeBytes))))
        {
            return NvspStatus.InvalidRndisPacket;
        }

        return HandleMessages(_message.AsSpan(0, total)) ? NvspStatus.Success : NvspStatus.InvalidRndisPacket;
    }

    private bool HandleMessages(Span<byte> messages)
    {
        bool frames = false;
        while (messages.Length >= HeaderBytes)
        {
            var type = (RndisMessageType)BinaryPrimitives.ReadUInt32LittleEndian(messages);
            uint bytes = BinaryPrimitives.ReadUInt32LittleEndian(messages[4..]);
            if (bytes < HeaderBytes || bytes > (uint)messages.Length)
            {
                return false;
            }

            Span<byte> message = messages[..(int)bytes];
            if (type == RndisMessageType.Packet ? !SendFrame(message) : index != 0 || !adapter.Control.Handle(message))
            {
                return false;
            }

            frames |= type == RndisMessageType.Packet;
            messages = messages[(int)bytes..];
        }

        if (frames)
        {
            vsp.Counters.TransmitPackets.Increment();
        }

        return true;
    }

    private bool SendFrame(Span<byte> message)
    {
        if (message.Length < HeaderBytes + RndisPacket.Bytes || !adapter.IsInitialized)
        {
            return false;
        }

        RndisPacket packet = MemoryMarshal.Read<RndisPacket>(message[HeaderBytes..]);
        Span<byte> body = message[HeaderBytes..];
        if (packet.DataOffset < RndisPacket.Bytes || packet.DataOffset > (uint)body.Length || packet.DataBytes > (uint)body.Length - packet.DataOffset
            || packet.DataBytes is < FrameLayout.EthernetBytes or > FrameCompletion.MaximumFrameBytes - FrameLayout.VlanTagBytes
            || !TransmitInfo.TryRead(body, in packet, out TransmitInfo info))
        {
            vsp.Counters.TransmitDropped.Increment();
            return false;
        }

        int start = HeaderBytes + (int)packet.DataOffset;
        Span<byte> frame = message.Slice(start, (int)packet.DataBytes);
        if (info.HasVlan)
        {
            // IEEE 802.1Q: behind the addresses, which move over the RNDIS header that has been read.
            const int Addresses = 2 * MacAddress.Bytes;
            Span<byte> tagged = message.Slice(start - FrameLayout.VlanTagBytes, frame.Length + FrameLayout.VlanTagBytes);
            frame[..Addresses].CopyTo(tagged);
            BinaryPrimitives.WriteUInt16BigEndian(tagged[Addresses..], FrameLayout.EtherTypeVlan);
            BinaryPrimitives.WriteUInt16BigEndian(tagged[(Addresses + 2)..], info.VlanTag);
            frame = tagged;
        }

        if (!info.TryPrepare(frame, out FrameOffload offload))
        {
            vsp.Counters.TransmitDropped.Increment();
            return false;
        }

        if (offload.SegmentBytes != 0)
        {
            vsp.Counters.TransmitLarge.Increment();
            if (_scratch.Length == 0)
            {
                _scratch = GC.AllocateUninitializedArray<byte>(FrameCompletion.MaximumFrameBytes);
            }
        }

        vsp.Send(frame, offload, _scratch);
        return true;
    }
}

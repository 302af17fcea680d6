// A guest's network driver in C#, after drivers/net/hyperv (netvsc.c, rndis_filter.c); messages are laid out by offset here,
// independently of the server's structures, so that each tests the other.
using System.Buffers.Binary;
using Sharpvisor.Core;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsc.Network;

/// <summary>A frame as the host delivered it.</summary>
/// <param name="Data">The frame; one that came in pieces (RSC) is put together.</param>
/// <param name="Infos">Per-packet info of its first piece: type and value.</param>
/// <param name="Pieces">Sections it took.</param>
/// <param name="Channel">Index of the channel it came by.</param>
public sealed record ReceivedFrame(byte[] Data, IReadOnlyDictionary<uint, uint> Infos, int Pieces, int Channel);

/// <summary>A network card's open channels. One thread at a time.</summary>
public sealed class NetVsc
{
    public const uint ChecksumInfo = 0;
    public const uint LargeSendInfo = 2;
    public const uint VlanInfo = 6;
    public const uint HashInfo = 9;
    public const uint PacketIdInfo = 0x8000_0001;

    public const uint Version61 = 0x60001;
    public const uint NoSection = 0xFFFF_FFFF;

    private const int MessageBytes = 40;
    private const ulong InitTransaction = 0xFFFF_FFFF_FFFF_FFFF;
    private const ushort ReceiveBufferId = 0xCAFE;
    private readonly VmbusClient _client;
    private readonly GuestMemory _memory;
    private readonly List<GuestChannel> _channels = [];
    private readonly Queue<ReceivedFrame> _frames = new();
    private readonly Queue<byte[]> _controls = new();
    private readonly Queue<(ulong Transaction, uint Status)> _sent = new();
    private readonly List<byte> _pieces = [];
    private ReceivedFrame? _partial;
    private ulong[] _receivePages = [];
    private ulong[] _sendPages = [];
    private uint _nextRequest = 1;

    public NetVsc(VmbusClient client, GuestMemory memory, GuestChannel channel)
    {
        _client = client;
        _memory = memory;
        _channels.Add(channel);
    }

    /// <summary>How long to wait for answers.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(20);

    public GuestChannel Primary => _channels[0];

    public IReadOnlyList<GuestChannel> Channels => _channels;

    public uint Version { get; private set; }

    public int SectionBytes { get; private set; }

    public int SectionCount { get; private set; }

    public int SendSectionBytes { get; private set; }

    /// <summary>Receive completions are not sent but kept in <see cref="Held"/>.</summary>
    public bool HoldCompletions { get; set; }

    /// <summary>Transactions not completed yet, with their channel.</summary>
    public List<(GuestChannel Channel, ulong Transaction)> Held { get; } = [];

    /// <summary>Unasked messages: the status of each INDICATE_STATUS.</summary>
    public List<uint> Indications { get; } = [];

    /// <summary>The send indirection table, when the host sent one.</summary>
    public uint[]? SendTable { get; private set; }

    /// <summary>Ring packets that carried frames.</summary>
    public int FramePackets { get; private set; }

    /// <summary>netvsc_connect_vsp and rndis_filter_device_add up to the filter. False when the host refuses a step.</summary>
    public bool Initialize(uint version = Version61, int mtu = 1500, int receivePages = 64, int sendPages = 16, ulong capabilities = 0x88)
    {
        if (!Negotiate(version))
        {
            return false;
        }

        if (version > 2)
        {
            Configure((uint)mtu + 14, capabilities);
        }

        SendInBand(0, 100, 6, version >= 0x50000 ? 0x1Eu : 1u);
        return AddReceiveBuffer(receivePages) && AddSendBuffer(sendPages) && InitializeRndis();
    }

    /// <summary>NVSP_MSG_TYPE_INIT for one version.</summary>
    public bool Negotiate(uint version)
    {
        byte[] answer = Transact(1, version, version);
        bool agreed = Word(answer, 0) == 2 && Word(answer, 12) == 1;
        Version = agreed ? Word(answer, 4) : Version;
        return agreed;
    }

    /// <summary>NVSP_MSG2_TYPE_SEND_NDIS_CONFIG.</summary>
    public void Configure(uint frameBytes, ulong capabilities) => SendInBand(0, 125, frameBytes, 0, (uint)capabilities);

    /// <summary>NVSP_MSG1_TYPE_SEND_RECV_BUF.</summary>
    public bool AddReceiveBuffer(int pages)
    {
        _receivePages = _client.AllocatePages(pages);
        if (_client.CreateGpadl(Primary.Offer.Relid, _receivePages, out uint gpadl) != 0)
        {
            return false;
        }

        byte[] answer = Transact(101, gpadl, ReceiveBufferId);
        SectionBytes = (int)Word(answer, 16);
        SectionCount = (int)Word(answer, 20);
        return Word(answer, 0) == 102 && Word(answer, 4) == 1 && Word(answer, 8) == 1;
    }

    /// <summary>NVSP_MSG1_TYPE_SEND_SEND_BUF.</summary>
    public bool AddSendBuffer(int pages)
    {
        _sendPages = _client.AllocatePages(pages);
        if (_client.CreateGpadl(Primary.Offer.Relid, _sendPages, out uint gpadl) != 0)
        {
            return false;
        }

        byte[] answer = Transact(104, gpadl, 0);
        SendSectionBytes = (int)Word(answer, 8);
        return Word(answer, 0) == 105 && Word(answer, 4) == 1;
    }

    /// <summary>NVSP_MSG1_TYPE_REVOKE_RECV_BUF.</summary>
    public void RevokeReceiveBuffer() => SendInBand(0, 103, ReceiveBufferId);

    /// <summary>NVSP_MSG5_TYPE_SUBCHANNEL; opens what is offered. Returns how many, or -1.</summary>
    public int AddSubchannels(uint count)
    {
        byte[] answer = Transact(133, 1, count);
        if (Word(answer, 0) != 133 || Word(answer, 4) != 1)
        {
            return -1;
        }

        for (uint i = 0; i < count; i++)
        {
            OfferChannelMessage offer = _client.Expect<OfferChannelMessage>(ChannelMessageType.OfferChannel);
            _channels.Add(_client.Open(offer, targetVp: i + 1) ?? throw new InvalidOperationException("the host refuses a subchannel"));
        }

        return (int)Word(answer, 8);
    }

    /// <summary>RNDIS_MSG_INIT.</summary>
    public bool InitializeRndis()
    {
        byte[] answer = Request(2, 1, 0, 0x4000);
        return Word(answer, 0) == 0x8000_0002 && Word(answer, 12) == 0;
    }

    /// <summary>RNDIS_MSG_QUERY; returns the status.</summary>
    public uint Query(uint oid, ReadOnlySpan<byte> input, out byte[] data)
    {
        byte[] answer = Request(4, oid, (uint)input.Length, 20, 0, input);
        int offset = 8 + (int)Word(answer, 20);
        data = answer[offset..(offset + (int)Word(answer, 16))];
        return Word(answer, 12);
    }

    /// <summary>RNDIS_MSG_SET; returns the status.</summary>
    public uint Set(uint oid, ReadOnlySpan<byte> data) => Word(Request(5, oid, (uint)data.Length, 20, 0, data), 12);

    /// <summary>OID_GEN_CURRENT_PACKET_FILTER: directed, all multicast, broadcast.</summary>
    public uint SetFilter(uint filter = 0xD) => Set(0x0001_010E, BitConverter.GetBytes(filter));

    /// <summary>RNDIS_MSG_HALT, which has no answer of its own.</summary>
    public void Halt() => SendControl(RndisMessage(3, BitConverter.GetBytes(_nextRequest++)));

    /// <summary>The RNDIS message of a frame.</summary>
    public static byte[] Packet(ReadOnlySpan<byte> frame, params (uint Type, uint Value)[] infos)
    {
        byte[] body = new byte[36 + (infos.Length * 16) + frame.Length];
        Put(body, 0, (uint)(36 + (infos.Length * 16)));
        Put(body, 4, (uint)frame.Length);
        Put(body, 20, 36);
        Put(body, 24, (uint)infos.Length * 16);
        for (int i = 0; i < infos.Length; i++)
        {
            int at = 36 + (i * 16);
            Put(body, at, 16);
            Put(body, at + 4, infos[i].Type);
            Put(body, at + 8, 12);
            Put(body, at + 12, infos[i].Value);
        }

        frame.CopyTo(body.AsSpan(36 + (infos.Length * 16)));
        return RndisMessage(1, body);
    }

    /// <summary>Sends RNDIS messages by a section of the send buffer, by page numbers, or part by each. False when the ring is full.</summary>
    /// <param name="transaction">Comes back with the completion.</param>
    /// <param name="message">One or more RNDIS messages.</param>
    /// <param name="sectionBytes">So much of it goes into section <paramref name="section"/>.</param>
    /// <param name="section">The section.</param>
    /// <param name="channel">Index of the channel.</param>
    /// <param name="channelType">0 data, 1 control.</param>
    public bool TrySend(ulong transaction, ReadOnlySpan<byte> message, int sectionBytes, uint section = 0, int channel = 0, uint channelType = 0)
    {
        byte[] nvsp = new byte[MessageBytes];
        Put(nvsp, 0, 107);
        Put(nvsp, 4, channelType);
        Put(nvsp, 8, sectionBytes > 0 ? section : NoSection);
        Put(nvsp, 12, (uint)sectionBytes);
        if (sectionBytes > 0)
        {
            Copy(_sendPages, section * SendSectionBytes, message[..sectionBytes]);
        }

        ReadOnlySpan<byte> rest = message[sectionBytes..];
        if (rest.IsEmpty)
        {
            return _channels[channel].TrySendInBand(transaction, nvsp);
        }

        if (_buffer.Length * GuestMemory.PageBytes < rest.Length + BufferOffset)
        {
            _buffer = _client.AllocatePages(((rest.Length + BufferOffset) / GuestMemory.PageBytes) + 1, scattered: true);
        }

        Copy(_buffer, BufferOffset, rest);
        int pages = (rest.Length + BufferOffset + GuestMemory.PageBytes - 1) / GuestMemory.PageBytes;
        return _channels[channel].TrySendGpaDirect(transaction, nvsp, (uint)rest.Length, BufferOffset, _buffer.AsSpan(0, pages));
    }

    /// <summary>Sends and waits; returns the status of the completion.</summary>
    public uint Send(ReadOnlySpan<byte> message, int sectionBytes = 0, int channel = 0)
    {
        const ulong Transaction = 0x53_0001;
        if (!TrySend(Transaction, message, sectionBytes, channel: channel))
        {
            throw new InvalidOperationException("the ring is full");
        }

        while (true)
        {
            if (_sent.TryDequeue(out (ulong Transaction, uint Status) sent))
            {
                return sent.Transaction == Transaction ? sent.Status : throw new InvalidDataException("completion of something else");
            }

            Pump(channel, Timeout);
        }
    }

    /// <summary>Waits for the next frame.</summary>
    public ReceivedFrame Receive()
    {
        while (true)
        {
            if (TryReceive() is { } frame)
            {
                return frame;
            }

            Thread.Sleep(1);
        }
    }

    /// <summary>The next frame that is there; null without.</summary>
    public ReceivedFrame? TryReceive()
    {
        for (int i = 0; i < _channels.Count && _frames.Count == 0; i++)
        {
            while (_channels[i].TryReceive() is { } packet)
            {
                Handle(i, packet);
            }
        }

        return _frames.TryDequeue(out ReceivedFrame? frame) ? frame : null;
    }

    /// <summary>Completes what was held.</summary>
    public void ReleaseHeld()
    {
        foreach ((GuestChannel channel, ulong transaction) in Held)
        {
            Complete(channel, transaction);
        }

        Held.Clear();
    }

    /// <summary>Closes all channels as vmbus_close does, subchannels first.</summary>
    public void Close()
    {
        for (int i = _channels.Count - 1; i >= 0; i--)
        {
            _client.Close(_channels[i]);
        }
    }

    /// <summary>A receive completion.</summary>
    public static bool Complete(GuestChannel channel, ulong transaction)
    {
        byte[] payload = new byte[8];
        Put(payload, 0, 108);
        Put(payload, 4, 1);
        return channel.TrySend(PacketType.Completion, PacketFlags.None, transaction, payload);
    }

    private const int BufferOffset = 0x321;
    private ulong[] _buffer = [];

    private static uint Word(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);

    private static void Put(Span<byte> bytes, int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(bytes[offset..], value);

    private static byte[] RndisMessage(uint type, ReadOnlySpan<byte> body)
    {
        byte[] message = new byte[8 + body.Length];
        Put(message, 0, type);
        Put(message, 4, (uint)message.Length);
        body.CopyTo(message.AsSpan(8));
        return message;
    }

    private void Copy(ulong[] pages, long offset, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int inPage = (int)(offset % GuestMemory.PageBytes);
            int run = Math.Min(bytes.Length, GuestMemory.PageBytes - inPage);
            if (!_memory.TryWrite((pages[offset / GuestMemory.PageBytes] << GuestMemory.PageShift) + (uint)inPage, bytes[..run]))
            {
                throw new InvalidOperationException("a buffer page is no memory");
            }

            bytes = bytes[run..];
            offset += run;
        }
    }

    private byte[] ReadReceiveBuffer(int offset, int length)
    {
        byte[] bytes = new byte[length];
        for (int done = 0; done < length;)
        {
            int at = offset + done;
            int run = Math.Min(length - done, GuestMemory.PageBytes - (at % GuestMemory.PageBytes));
            if (!_memory.TryRead((_receivePages[at / GuestMemory.PageBytes] << GuestMemory.PageShift) + (uint)(at % GuestMemory.PageBytes), bytes.AsSpan(done, run)))
            {
                throw new InvalidOperationException("a buffer page is no memory");
            }

            done += run;
        }

        return bytes;
    }

    private void SendInBand(ulong transaction, params ReadOnlySpan<uint> words)
    {
        byte[] message = new byte[MessageBytes];
        for (int i = 0; i < words.Length; i++)
        {
            Put(message, i * 4, words[i]);
        }

        if (!Primary.TrySendInBand(transaction, message))
        {
            throw new InvalidOperationException("the ring is full");
        }
    }

    private byte[] Transact(params ReadOnlySpan<uint> words)
    {
        SendInBand(InitTransaction, words);
        _initAnswer = null;
        while (_initAnswer is null)
        {
            Pump(0, Timeout);
        }

        return _initAnswer;
    }

    private byte[]? _initAnswer;

    private byte[] Request(uint type, uint word0, uint word1, uint word2, uint word3 = 0, ReadOnlySpan<byte> data = default)
    {
        uint id = _nextRequest++;
        byte[] body = new byte[(type == 2 ? 16 : 20) + data.Length];
        Put(body, 0, id);
        Put(body, 4, word0);
        Put(body, 8, word1);
        Put(body, 12, word2);
        if (type != 2)
        {
            Put(body, 16, word3);
            data.CopyTo(body.AsSpan(20));
        }

        SendControl(RndisMessage(type, body));
        while (true)
        {
            while (_controls.TryDequeue(out byte[]? answer))
            {
                if (Word(answer, 8) == id)
                {
                    return answer;
                }
            }

            Pump(0, Timeout);
        }
    }

    private void SendControl(ReadOnlySpan<byte> message)
    {
        if (!TrySend(0x43_0001, message, 0, channelType: 1))
        {
            throw new InvalidOperationException("the ring is full");
        }
    }

    private void Pump(int channel, TimeSpan timeout) => Handle(channel, _channels[channel].Receive(timeout));

    private void Handle(int channel, GuestPacket packet)
    {
        switch (packet.Descriptor.Type)
        {
            case PacketType.Completion when packet.Descriptor.TransactionId == InitTransaction:
                // netvsc_send_completion copies a whole nvsp_message.
                _initAnswer = packet.Payload.Length >= MessageBytes ? packet.Payload : throw new InvalidDataException("short answer");
                break;
            case PacketType.Completion when packet.Descriptor.TransactionId != 0x43_0001:
                _sent.Enqueue((packet.Descriptor.TransactionId, Word(packet.Payload, 4)));
                break;
            case PacketType.DataInBand when Word(packet.Payload, 0) == 134:
                uint count = Word(packet.Payload, 4);
                int offset = (int)Word(packet.Payload, 8);
                SendTable = [.. Enumerable.Range(0, (int)count).Select(i => Word(packet.Payload, offset + (i * 4)))];
                break;
            case PacketType.DataUsingTransferPages:
                HandleTransfer(channel, packet);
                break;
            default:
                break;
        }
    }

    private void HandleTransfer(int channel, GuestPacket packet)
    {
        if (BinaryPrimitives.ReadUInt16LittleEndian(packet.Header) != ReceiveBufferId || Word(packet.Payload, 0) != 107)
        {
            throw new InvalidDataException("not a packet in the receive buffer");
        }

        uint count = Word(packet.Header, 4);
        for (int i = 0; i < count; i++)
        {
            int bytes = (int)Word(packet.Header, 8 + (i * 8));
            int offset = (int)Word(packet.Header, 12 + (i * 8));
            if (bytes > SectionBytes || offset % SectionBytes != 0 || offset / SectionBytes >= SectionCount)
            {
                throw new InvalidDataException($"range {offset}+{bytes} is no section");
            }

            HandleRndis(channel, ReadReceiveBuffer(offset, bytes));
        }

        FramePackets += Word(packet.Payload, 4) == 0 ? 1 : 0;
        if (HoldCompletions)
        {
            Held.Add((_channels[channel], packet.Descriptor.TransactionId));
        }
        else if (!Complete(_channels[channel], packet.Descriptor.TransactionId))
        {
            throw new InvalidOperationException("the ring is full");
        }
    }

    private void HandleRndis(int channel, byte[] message)
    {
        if (Word(message, 4) != message.Length)
        {
            throw new InvalidDataException("an RNDIS message of another length than its range");
        }

        switch (Word(message, 0))
        {
            case 1:
                HandleFrame(channel, message);
                break;
            case 7:
                Indications.Add(Word(message, 8));
                break;
            default:
                _controls.Enqueue(message);
                break;
        }
    }

    // rndis_filter_receive_data.
    private void HandleFrame(int channel, byte[] message)
    {
        var infos = new Dictionary<uint, uint>();
        int end = 8 + (int)Word(message, 28) + (int)Word(message, 32);
        for (int at = 8 + (int)Word(message, 28); Word(message, 32) != 0 && at < end; at += (int)Word(message, at))
        {
            infos.Add(Word(message, at + 4), Word(message, at + (int)Word(message, at + 8)));
        }

        int start = 8 + (int)Word(message, 8);
        byte[] data = message[start..(start + (int)Word(message, 12))];
        uint id = infos.GetValueOrDefault(PacketIdInfo);
        if ((id & 0x100) == 0)
        {
            _frames.Enqueue(new ReceivedFrame(data, infos, 1, channel));
            return;
        }

        if ((id & 0x200) != 0)
        {
            _pieces.Clear();
            _partial = new ReceivedFrame([], infos, 0, channel);
        }

        _pieces.AddRange(data);
        _partial = _partial! with { Pieces = _partial.Pieces + 1 };
        if ((id & 0x400) != 0)
        {
            _frames.Enqueue(_partial with { Data = [.. _pieces] });
        }
    }
}

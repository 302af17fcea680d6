using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;

namespace Sharpvisor.Worker.Tests.Hostile;

/// <summary>Hypercalls, channel messages, rings and storage packets.</summary>
internal sealed partial class FuzzScript
{
    private const ulong MessagePage = FuzzProgram.ArenaGpa + 0x10_0000;
    private const ulong EventPage = FuzzProgram.ArenaGpa + 0x10_1000;
    private const ulong HypercallInput = FuzzProgram.ArenaGpa + 0x10_2000;
    private const int Offers = 4;
    private const ulong PostMessageCode = 0x5C;
    private const ulong SignalEventFast = 0x1_005D;
    private uint _nextGpadl = 1;
    private uint _connectionId = 4;
    private bool _isDamaged;

    /// <summary>SynIC as a driver sets it up, then contact and offers.</summary>
    private void ConnectSynic()
    {
        EnableSynic();
        uint version = VmbusVersion.All[_random.Next(VmbusVersion.All.Length)];
        _connectionId = version >= VmbusVersion.V5_0 ? 4u : 1u;
        Post(Wire.ToBytes(Wire.Header(ChannelMessageType.Unload)));
        Add(FuzzOperation.Wait, c: 40_000);
        TakeMessages();
        Post(Wire.ToBytes(new InitiateContactMessage
        {
            Header = Wire.Header(ChannelMessageType.InitiateContact),
            Version = version,
            InterruptPageOrTarget = version >= VmbusVersion.V5_0 ? VmbusConstants.Sint : AnyPage(),
            MonitorPageParentToChild = AnyPage(),
            MonitorPageChildToParent = AnyPage(),
        }));
        Add(FuzzOperation.Wait, c: 20_000);
        TakeMessages();
        Post(Wire.ToBytes(Wire.Header(ChannelMessageType.RequestOffers)));
        Add(FuzzOperation.Wait, c: 20_000);
        for (int i = 0; i < Offers + 1; i++)
        {
            TakeMessages();
        }
    }

    private void EnableSynic()
    {
        Msr(0x4000_0000, 0x8100_0000_0001_0000);
        Msr(0x4000_0080, 1);
        Msr(0x4000_0082, EventPage | 1);
        Msr(0x4000_0083, MessagePage | 1);
        Msr(0x4000_0092, 0x50 | (Rarely(2) ? 1UL << 17 : 0));
        if (Rarely(4))
        {
            Msr(0x4000_0001, (ArenaPage() & ~0xFFFUL) | 1);
        }
    }

    /// <summary>Empties the message slot and says so.</summary>
    private void TakeMessages()
    {
        Add(FuzzOperation.Write32, MessagePage + (VmbusConstants.Sint * 256u), 0, 0);
        Msr(0x4000_0084, 0);
    }

    private void Post(ReadOnlySpan<byte> payload, bool isDisturbed = false)
    {
        Span<byte> input = stackalloc byte[256];
        input.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(input, isDisturbed && Rarely(10) ? (uint)_random.Next(8) : _connectionId);
        BinaryPrimitives.WriteUInt32LittleEndian(input[8..], isDisturbed && Rarely(20) ? (uint)_random.Next() : 1);
        BinaryPrimitives.WriteUInt32LittleEndian(input[12..], isDisturbed && Rarely(20) ? (uint)_random.Next(300) : (uint)payload.Length);
        payload[..Math.Min(payload.Length, 240)].CopyTo(input[16..]);
        Copy(HypercallInput, input);
        if (isDisturbed && Rarely(3))
        {
            Add(FuzzOperation.Write32, HypercallInput + 16 + (ulong)(_random.Next(60) * 4), 0, 0, Rarely(2) ? 0xFFFF_FFFF : 0xF);
        }

        Add(FuzzOperation.Hypercall, PostMessageCode, 0, HypercallInput, 0, 0, FuzzProgram.BlobGpa);
    }

    private void Signal(uint relid) => Add(
        FuzzOperation.Hypercall, SignalEventFast, 0, VmbusConstants.EventConnectionId(relid), Rarely(10) ? 0xFFFF_FFFF : 0, 0, FuzzProgram.BlobGpa);

    private void RandomHypercalls(int count)
    {
        ulong[] codes = [0x02, 0x03, 0x08, 0x0B, 0x13, 0x14, 0x15, 0x5C, 0x5D, 0x8001, 0x50, 0x51, 0x7B, 0x99];
        for (int i = 0; i < count; i++)
        {
            ulong code = Rarely(6) ? (ulong)_random.Next(0x10000) : codes[_random.Next(codes.Length)];
            // Fast, variable header, rep count and start.
            ulong control = code | ((ulong)_random.Next(2) << 16) | (Rarely(3) ? (ulong)_random.Next(1024) << 17 : 0)
                | (Rarely(2) ? (ulong)_random.Next(4096) << 32 : 0) | (Rarely(4) ? (ulong)_random.Next(4096) << 48 : 0);
            byte[] input = new byte[512];
            foreach (ref ulong word in MemoryMarshal.Cast<byte, ulong>(input.AsSpan()))
            {
                word = _random.Next(3) switch { 0 => Value(), 1 => (ulong)_random.Next(0x100), _ => 0 };
            }

            ulong at = Rarely(6) ? AnyPage() + (ulong)_random.Next(4096) : HypercallInput + 0x800;
            Copy(HypercallInput + 0x800, input);
            Add(FuzzOperation.Hypercall, control, Rarely(8) ? ulong.MaxValue : 0, at, Rarely(8) ? ulong.MaxValue : 0, AnyPage(), Blob(input.AsSpan(0, 64)));
        }
    }

    private void RandomMessages(int count)
    {
        for (int i = 0; i < count; i++)
        {
            byte[] message = new byte[_random.Next(8, 241)];
            _random.NextBytes(message);
            Span<uint> words = MemoryMarshal.Cast<byte, uint>(message.AsSpan());
            words[0] = (uint)_random.Next(27);
            if (!Rarely(4))
            {
                foreach (ref uint word in words[1..])
                {
                    word = (uint)_random.Next(Rarely(4) ? 0x2000 : 9);
                }
            }

            if (words[0] is not ((uint)ChannelMessageType.Unload or (uint)ChannelMessageType.InitiateContact) || Rarely(10))
            {
                Post(message, isDisturbed: true);
            }

            TakeMessages();
        }
    }

    /// <summary>A channel's whole life, each step now and then wrong.</summary>
    private void StorageChannel()
    {
        EnableSynic();
        if (Rarely(4))
        {
            ConnectSynic();
        }

        uint relid = Rarely(10) ? (uint)_random.Next(1, Offers + 2) : (uint)_random.Next(1, Offers);
        uint handle = _nextGpadl++;
        int pages = _random.Next(2, 20);
        int downstream = Rarely(10) ? _random.Next(0, 24) : _random.Next(1, pages);
        ulong first = ArenaPage();
        ulong[] pfns = new ulong[pages];
        for (int i = 0; i < pages; i++)
        {
            pfns[i] = Rarely(400) ? AnyPage() >> 12 : (first >> 12) + (ulong)i;
        }

        // A fresh ring.
        Copy(first, new byte[128]);
        Copy(first + ((ulong)downstream << 12), new byte[128]);
        foreach (byte[] message in VmbusClient.GpadlMessages(relid, handle, pfns))
        {
            Post(message, isDisturbed: Rarely(30));
        }

        Post(
            Wire.ToBytes(new OpenChannelMessage
            {
                Header = Wire.Header(ChannelMessageType.OpenChannel), Relid = relid, OpenId = relid, RingGpadl = handle,
                TargetVp = (uint)_random.Next(3), DownstreamPageOffset = (uint)downstream,
            }),
            isDisturbed: Rarely(20));
        Add(FuzzOperation.Wait, c: 10_000);
        TakeMessages();
        TakeMessages();
        uint ringBytes = (uint)Math.Max(downstream - 1, 1) << 12;
        byte[] packets = StoragePackets((int)Math.Min(ringBytes - 8, 12_000));
        Copy(first + 4096, packets);
        for (uint at = 0; at < packets.Length;)
        {
            // Write index, in steps that end somewhere.
            at = Rarely(4) ? at + (uint)(_random.Next(1, 60) * 8) : (uint)packets.Length;
            Add(FuzzOperation.Write32, first, 0, Math.Min(at, (uint)packets.Length), Rarely(30) ? 0xFFFF_FFFF : 0);
            Signal(relid);
            Add(FuzzOperation.Wait, c: (ulong)_random.Next(100, 20_000));
            DisturbRing(first, first + ((ulong)downstream << 12));
        }

        EndChannel(relid, handle);
    }

    private void DisturbRing(ulong outgoing, ulong incoming)
    {
        ulong ring = Rarely(2) ? outgoing : incoming;
        switch (_random.Next(8))
        {
            case 0:
                // Any word of the control page: indices, masks, pending size, features.
                Add(FuzzOperation.Write32, ring + (ulong)(_random.Next(17) * 4), 0, (ulong)_random.Next(0x8000), Rarely(2) ? 0xFFFF_FFFF : 0xFFF8);
                break;
            case 1:
                // What the host wrote is read.
                Add(FuzzOperation.Write32, incoming + 4, 0, (ulong)_random.Next(0x1000) & ~7ul);
                break;
            case 2:
                Add(FuzzOperation.Write64, ring + 4096 + (ulong)_random.Next(4096), 0, Value(), 0xFFFF);
                break;
            case 3:
                TakeMessages();
                break;
            default:
                break;
        }
    }

    private void EndChannel(uint relid, uint handle)
    {
        if (Rarely(2))
        {
            Post(Wire.ToBytes(new ModifyChannelMessage { Header = Wire.Header(ChannelMessageType.ModifyChannel), Relid = relid, TargetVp = (uint)_random.Next(3) }), Rarely(8));
        }

        if (!Rarely(4))
        {
            Post(Wire.ToBytes(new RelidMessage { Header = Wire.Header(ChannelMessageType.CloseChannel), Relid = relid }), Rarely(8));
            Add(FuzzOperation.Wait, c: (ulong)_random.Next(2000));
        }

        if (!Rarely(6))
        {
            Post(Wire.ToBytes(new GpadlTeardownMessage { Header = Wire.Header(ChannelMessageType.GpadlTeardown), Relid = relid, Gpadl = handle }), Rarely(8));
        }

        TakeMessages();
    }

    /// <summary>Ring content: the storage protocol's start, then SRBs with random commands; some of it damaged.</summary>
    private byte[] StoragePackets(int limit)
    {
        // A damaged packet closes the channel to all that follow it.
        _isDamaged = Rarely(3);
        using var ring = new MemoryStream();
        ulong transaction = 1;
        foreach (uint operation in (uint[])[7, 9, 10, 8, 13])
        {
            byte[] packet = new byte[64];
            BinaryPrimitives.WriteUInt32LittleEndian(packet, _isDamaged && Rarely(20) ? (uint)_random.Next(16) : operation);
            BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(4), 1);
            BinaryPrimitives.WriteUInt16LittleEndian(packet.AsSpan(12), operation == 9 ? (ushort)0x0602 : (ushort)_random.Next(4));
            WritePacket(ring, packet, transaction++, null);
        }

        while (ring.Length < limit - 400)
        {
            byte[] packet = new byte[64];
            BinaryPrimitives.WriteUInt32LittleEndian(packet, Rarely(12) ? (uint)_random.Next(16) : 3);
            BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(4), 1);
            packet[12] = 52;
            packet[17] = (byte)(Rarely(20) ? _random.Next(256) : 0);
            packet[18] = (byte)(Rarely(20) ? _random.Next(256) : 0);
            packet[19] = (byte)(Rarely(20) ? _random.Next(256) : _random.Next(3));
            byte[] cdb = Cdb();
            packet[20] = (byte)(Rarely(20) ? _random.Next(256) : 16);
            packet[21] = (byte)(Rarely(10) ? _random.Next(256) : 20);
            packet[22] = (byte)_random.Next(3);
            cdb.CopyTo(packet, 28);
            int pages = _random.Next(0, 17);
            uint bytes = (uint)(pages == 0 ? 0 : Rarely(4) ? _random.Next(pages * 4096) : pages * 4096);
            BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(24), Rarely(12) ? (uint)_random.Next() : bytes);
            ulong[] pfns = new ulong[pages];
            for (int i = 0; i < pages; i++)
            {
                pfns[i] = Rarely(100) ? Value() : AnyPage() >> 12;
            }

            WritePacket(ring, packet, Rarely(20) ? 0 : transaction++, pages == 0 ? null : (bytes, pfns));
        }

        byte[] result = ring.ToArray();
        for (int i = _isDamaged ? _random.Next(6) : 0; i > 0; i--)
        {
            result[_random.Next(result.Length)] = (byte)_random.Next(256);
        }

        return result;
    }

    private void WritePacket(MemoryStream ring, byte[] payload, ulong transaction, (uint Bytes, ulong[] Pfns)? data)
    {
        using var body = new MemoryStream();
        using var writer = new BinaryWriter(body);
        if (data is { } pages)
        {
            // struct vmbus_channel_packet_page_buffer's tail: reserved, range count, ranges.
            writer.Write(0u);
            writer.Write(_isDamaged && Rarely(20) ? (uint)_random.Next(40) : 1u);
            writer.Write(pages.Bytes);
            writer.Write(Rarely(10) ? (uint)_random.Next(8192) : 0u);
            foreach (ulong pfn in pages.Pfns)
            {
                writer.Write(pfn);
            }
        }

        int offset8 = (int)(body.Length / 8) + 2;
        writer.Write(payload);
        int length8 = (int)(body.Length / 8) + 2;
        using var packet = new BinaryWriter(ring, System.Text.Encoding.ASCII, leaveOpen: true);
        packet.Write((ushort)(_isDamaged && Rarely(20) ? _random.Next(15) : data is null ? 6 : 9));
        packet.Write((ushort)(_isDamaged && Rarely(40) ? _random.Next(60) : offset8));
        packet.Write((ushort)(_isDamaged && Rarely(40) ? _random.Next(60) : length8));
        packet.Write((ushort)(Rarely(10) ? 0 : 1));
        packet.Write(transaction);
        packet.Write(body.ToArray());
        packet.Write((ulong)ring.Length << 32);
    }

    /// <summary>16 bytes: mostly a known operation with an address and a length in reach.</summary>
    private byte[] Cdb()
    {
        byte[] operations =
        [
            0x00, 0x03, 0x08, 0x0A, 0x12, 0x15, 0x1A, 0x1B, 0x1E, 0x25, 0x28, 0x2A, 0x2E, 0x2F, 0x35, 0x41, 0x42, 0x43, 0x46, 0x4A, 0x51,
            0x52, 0x55, 0x5A, 0x5E, 0x5F, 0x88, 0x8A, 0x8F, 0x91, 0x93, 0x9E, 0xA0, 0xA3, 0xA8, 0xAA, 0xAD, 0xBE,
        ];
        byte[] cdb = new byte[16];
        if (Rarely(3))
        {
            _random.NextBytes(cdb);
        }
        else
        {
            // Small big-endian addresses and lengths in every layout.
            for (int i = 1; i < 16; i++)
            {
                cdb[i] = (byte)(Rarely(3) ? _random.Next(Rarely(4) ? 256 : 16) : 0);
            }
        }

        cdb[0] = Rarely(12) ? (byte)_random.Next(256) : operations[_random.Next(operations.Length)];
        return cdb;
    }
}

// A guest's storage driver in C#, after drivers/scsi/storvsc_drv.c; packets are laid out by offset here, independently of the
// server's structures, so that each tests the other.
using System.Buffers.Binary;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsc.Storage;

/// <summary>How an SRB ended.</summary>
/// <param name="SrbStatus">SRB_STATUS, flags included.</param>
/// <param name="ScsiStatus">SAM status.</param>
/// <param name="Transferred">Bytes moved, as the host says.</param>
/// <param name="Sense">Sense data; empty when there is none.</param>
public sealed record SrbResult(byte SrbStatus, byte ScsiStatus, uint Transferred, byte[] Sense)
{
    /// <summary>SRB_STATUS_SUCCESS and GOOD.</summary>
    public bool IsGood => SrbStatus == 1 && ScsiStatus == 0;

    /// <summary>Sense key, ASC and ASCQ as 0xKAAQQ; 0 without sense data.</summary>
    public int SenseCode => Sense.Length < 14 ? 0 : ((Sense[2] & 0xF) << 16) | (Sense[12] << 8) | Sense[13];
}

/// <summary>A storage device's open primary channel. One thread at a time.</summary>
public sealed class StorVsc(GuestChannel channel)
{
    /// <summary>sizeof(struct vstor_packet).</summary>
    public const int PacketBytes = 64;

    public const uint ExecuteSrb = 3;
    public const uint ResetBus = 6;
    public const uint BeginInitialization = 7;
    public const uint EndInitialization = 8;
    public const uint QueryProtocolVersion = 9;
    public const uint QueryProperties = 10;
    public const uint EnumerateBus = 11;
    public const uint CreateSubChannels = 13;

    private const uint CompleteIo = 1;
    private const int Union = 12;
    private const int CdbOffset = Union + 16;
    private const int SenseBytes = 20;

    // VMBUS_RQST_INIT.
    private const ulong InitTransaction = 0xFFFF_FFFF_FFFF_FFFF;

    /// <summary>How long to wait for answers.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(20);

    public GuestChannel Channel => channel;

    /// <summary>The agreed protocol version.</summary>
    public ushort Version { get; private set; }

    public ushort MaxSubchannels { get; private set; }

    public uint MaxTransferBytes { get; private set; }

    /// <summary>Packets the host sent unasked (ENUMERATE_BUS).</summary>
    public int BusChanges { get; private set; }

    /// <summary>storvsc_channel_init. False when the host refuses a step.</summary>
    public bool Initialize(params ushort[] versions)
    {
        if (Control(BeginInitialization, default, out _) != 0)
        {
            return false;
        }

        foreach (ushort version in versions.Length == 0 ? [0x0602, 0x0600, 0x0501] : versions)
        {
            byte[] field = new byte[2];
            BinaryPrimitives.WriteUInt16LittleEndian(field, version);
            if (Control(QueryProtocolVersion, field, out _) == 0)
            {
                Version = version;
                break;
            }
        }

        if (Version == 0 || Control(QueryProperties, default, out byte[] answer) != 0)
        {
            return false;
        }

        MaxSubchannels = BinaryPrimitives.ReadUInt16LittleEndian(answer.AsSpan(Union + 4));
        MaxTransferBytes = BinaryPrimitives.ReadUInt32LittleEndian(answer.AsSpan(Union + 12));
        return Control(EndInitialization, default, out _) == 0;
    }

    /// <summary>storvsc_execute_vstor_op: sends a control packet and waits; returns the status field.</summary>
    public uint Control(uint operation, ReadOnlySpan<byte> union, out byte[] answer)
    {
        byte[] packet = new byte[PacketBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(packet, operation);
        BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(4), 1);
        union.CopyTo(packet.AsSpan(Union));
        if (!channel.TrySendInBand(InitTransaction, packet))
        {
            throw new InvalidOperationException("the ring is full");
        }

        answer = Answer(InitTransaction);
        return BinaryPrimitives.ReadUInt32LittleEndian(answer.AsSpan(8));
    }

    /// <summary>Sends an SRB without waiting. False when the ring is full.</summary>
    /// <param name="transactionId">Comes back with the completion; not 0.</param>
    /// <param name="address">Path, target and LUN.</param>
    /// <param name="cdb">At most 16 bytes.</param>
    /// <param name="isRead">The direction of data.</param>
    /// <param name="pfns">Pages of the buffer; empty without data.</param>
    /// <param name="bytes">Length of the buffer.</param>
    /// <param name="offset">Offset in the first page.</param>
    public bool TrySubmit(
        ulong transactionId, (byte Path, byte Target, byte Lun) address, ReadOnlySpan<byte> cdb, bool isRead, ReadOnlySpan<ulong> pfns, uint bytes, uint offset = 0)
    {
        byte[] packet = new byte[PacketBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(packet, ExecuteSrb);
        BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(4), 1);
        BinaryPrimitives.WriteUInt16LittleEndian(packet.AsSpan(Union), 52);
        packet[Union + 5] = address.Path;
        packet[Union + 6] = address.Target;
        packet[Union + 7] = address.Lun;
        packet[Union + 8] = (byte)cdb.Length;
        packet[Union + 9] = SenseBytes;
        packet[Union + 10] = (byte)(bytes == 0 ? 2 : isRead ? 1 : 0);
        BinaryPrimitives.WriteUInt32LittleEndian(packet.AsSpan(Union + 12), bytes);
        cdb.CopyTo(packet.AsSpan(CdbOffset));
        return bytes == 0
            ? channel.TrySendInBand(transactionId, packet)
            : channel.TrySendGpaDirect(transactionId, packet, bytes, offset, pfns);
    }

    /// <summary>Sends an SRB and waits for its end.</summary>
    public SrbResult Execute(
        (byte Path, byte Target, byte Lun) address, ReadOnlySpan<byte> cdb, bool isRead, ReadOnlySpan<ulong> pfns, uint bytes, uint offset = 0)
    {
        const ulong Transaction = 0x5352_4201;
        return TrySubmit(Transaction, address, cdb, isRead, pfns, bytes, offset)
            ? Decode(Answer(Transaction))
            : throw new InvalidOperationException("the ring is full");
    }

    /// <summary>Waits for any completion.</summary>
    public (ulong TransactionId, SrbResult Result) Receive()
    {
        while (true)
        {
            GuestPacket packet = channel.Receive(Timeout);
            if (packet.Descriptor.TransactionId != 0)
            {
                return (packet.Descriptor.TransactionId, Decode(packet.Payload));
            }

            NoteUnasked(packet);
        }
    }

    /// <summary>Waits until the host says that LUNs came or went.</summary>
    public void WaitForBusChange()
    {
        int before = BusChanges;
        while (BusChanges == before)
        {
            NoteUnasked(channel.Receive(Timeout));
        }
    }

    private static SrbResult Decode(byte[] packet)
    {
        bool hasSense = (packet[Union + 2] & 0x80) != 0;
        return new SrbResult(
            packet[Union + 2],
            packet[Union + 3],
            BinaryPrimitives.ReadUInt32LittleEndian(packet.AsSpan(Union + 12)),
            hasSense ? packet[CdbOffset..(CdbOffset + packet[Union + 9])] : []);
    }

    private byte[] Answer(ulong transactionId)
    {
        while (true)
        {
            GuestPacket packet = channel.Receive(Timeout);
            if (packet.Descriptor.TransactionId == transactionId && packet.Descriptor.Type == PacketType.Completion)
            {
                return packet.Payload.Length == PacketBytes && BinaryPrimitives.ReadUInt32LittleEndian(packet.Payload) == CompleteIo
                    ? packet.Payload
                    : throw new InvalidDataException("the host answered with something else than a completed vstor_packet");
            }

            NoteUnasked(packet);
        }
    }

    private void NoteUnasked(GuestPacket packet)
    {
        if (packet.Descriptor.TransactionId == 0 && BinaryPrimitives.ReadUInt32LittleEndian(packet.Payload) == EnumerateBus)
        {
            BusChanges++;
            return;
        }

        throw new InvalidDataException($"unexpected packet {packet.Descriptor.Type}, transaction {packet.Descriptor.TransactionId:x}");
    }
}

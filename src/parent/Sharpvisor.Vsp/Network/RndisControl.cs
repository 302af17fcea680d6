// RNDIS control messages: initialize, query, set, keep-alive, reset, halt (MS-RNDIS 2.2; rndis_filter_device_add in
// drivers/net/hyperv/rndis_filter.c). The objects they name are in RndisControl.Oids.cs.
using System.Buffers.Binary;

namespace Sharpvisor.Vsp.Network;

/// <summary>The control side of an adapter. Called by the primary channel's worker only.</summary>
internal sealed partial class RndisControl(NetVsp vsp, NetAdapter adapter)
{
    public const int IndicateBytes = 20;

    /// <summary>Frames that the guest may put into one message.</summary>
    private const uint MaximumPacketsPerMessage = 8;

    /// <summary>Frames in one message start at multiples of 8 bytes: 2 to this power.</summary>
    private const uint AlignmentFactor = 3;
    private const uint MaximumTransferBytes = NetChannel.MaximumMessageBytes;
    private const uint Connectionless = 1;
    private const int HeaderBytes = 8;
    private const int AnswerHeaderBytes = 24;
    private const int MaximumAnswerBytes = 512;

    /// <summary>RNDIS_STATUS_MEDIA_CONNECT or its opposite.</summary>
    public static void FormatLinkStatus(bool connected, Span<byte> message)
    {
        message.Clear();
        Write(message, RndisMessageType.IndicateStatus, IndicateBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(message[HeaderBytes..], connected ? RndisStatus.MediaConnect : RndisStatus.MediaDisconnect);
    }

    /// <summary>Handles one message, its length already checked. False when it makes no sense or cannot be answered.</summary>
    public bool Handle(ReadOnlySpan<byte> message)
    {
        // Every message but a reset starts with the id that its answer repeats.
        if (message.Length < HeaderBytes + sizeof(uint))
        {
            return false;
        }

        uint id = Word(message, 8);
        switch ((RndisMessageType)Word(message, 0))
        {
            case RndisMessageType.Initialize:
                return Initialize(id);
            case RndisMessageType.Halt:
                adapter.Stop();
                vsp.NotifyReady();
                return true;
            case RndisMessageType.Query:
                return Query(message, id);
            case RndisMessageType.Set:
                return Set(message, id);
            case RndisMessageType.Reset:
                return Answer(RndisMessageType.Reset, RndisStatus.Success, 0);
            case RndisMessageType.KeepAlive:
                return Answer(RndisMessageType.KeepAlive, id, RndisStatus.Success);
            default:
                return false;
        }
    }

    private static uint Word(ReadOnlySpan<byte> message, int offset) =>
        message.Length >= offset + sizeof(uint) ? BinaryPrimitives.ReadUInt32LittleEndian(message[offset..]) : 0;

    private static void Write(Span<byte> message, RndisMessageType type, int bytes)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(message, (uint)type);
        BinaryPrimitives.WriteUInt32LittleEndian(message[4..], (uint)bytes);
    }

    // The information buffer of a query or set; its offset counts from the request id.
    private static bool TryGetBuffer(ReadOnlySpan<byte> message, out ReadOnlySpan<byte> buffer)
    {
        buffer = default;
        uint bytes = Word(message, 16);
        ulong start = (ulong)Word(message, 20) + HeaderBytes;
        if (bytes == 0)
        {
            return true;
        }

        if (start + bytes > (uint)message.Length)
        {
            return false;
        }

        buffer = message.Slice((int)start, (int)bytes);
        return true;
    }

    private bool Initialize(uint id)
    {
        Span<byte> answer = stackalloc byte[52];
        answer.Clear();
        Write(answer, RndisMessageType.Initialize | RndisMessageType.Complete, answer.Length);
        ReadOnlySpan<uint> words = [id, RndisStatus.Success, 1, 0, Connectionless, 0, MaximumPacketsPerMessage, MaximumTransferBytes, AlignmentFactor];
        for (int i = 0; i < words.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(answer[(HeaderBytes + (i * sizeof(uint)))..], words[i]);
        }

        adapter.Start();
        return adapter.SendControl(answer);
    }

    private bool Query(ReadOnlySpan<byte> message, uint id)
    {
        Span<byte> answer = stackalloc byte[AnswerHeaderBytes + MaximumAnswerBytes];
        answer.Clear();
        uint status = RndisStatus.InvalidData;
        int bytes = 0;
        if (TryGetBuffer(message, out ReadOnlySpan<byte> input))
        {
            status = Query(Word(message, 12), input, answer[AnswerHeaderBytes..], out bytes);
        }

        answer = answer[..(AnswerHeaderBytes + bytes)];
        Write(answer, RndisMessageType.Query | RndisMessageType.Complete, answer.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(answer[8..], id);
        BinaryPrimitives.WriteUInt32LittleEndian(answer[12..], status);
        BinaryPrimitives.WriteUInt32LittleEndian(answer[16..], (uint)bytes);
        // Linux wants an offset behind the header even when there is nothing (rndis_filter_query_device).
        BinaryPrimitives.WriteUInt32LittleEndian(answer[20..], AnswerHeaderBytes - HeaderBytes);
        return adapter.SendControl(answer);
    }

    private bool Set(ReadOnlySpan<byte> message, uint id)
    {
        uint status = TryGetBuffer(message, out ReadOnlySpan<byte> input) ? Set(Word(message, 12), input) : RndisStatus.InvalidData;
        return Answer(RndisMessageType.Set, id, status);
    }

    private bool Answer(RndisMessageType type, uint first, uint second)
    {
        Span<byte> answer = stackalloc byte[16];
        Write(answer, type | RndisMessageType.Complete, answer.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(answer[8..], first);
        BinaryPrimitives.WriteUInt32LittleEndian(answer[12..], second);
        return adapter.SendControl(answer);
    }
}

// An open channel as a guest driver (VSC) uses it, after drivers/hv/channel.c.
using System.Runtime.InteropServices;
using Sharpvisor.Core;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsc;

/// <summary>The guest's end of an open channel. One thread at a time.</summary>
public sealed class GuestChannel : IDisposable
{
    private readonly LoopbackSynic _synic;
    private readonly SemaphoreSlim _interrupt = new(0);
    private long _interrupts;
    private uint _lastVp;

    internal GuestChannel(LoopbackSynic synic, GuestMemory memory, in OfferChannelMessage offer, uint gpadl, ulong[] pfns, int sendPages)
    {
        _synic = synic;
        Offer = offer;
        RingGpadl = gpadl;
        Outbound = new GuestRing(memory, pfns.AsSpan(0, sendPages));
        Inbound = new GuestRing(memory, pfns.AsSpan(sendPages));
        synic.OnFlag((ushort)offer.Relid, OnInterrupt);
    }

    public OfferChannelMessage Offer { get; }

    public uint RingGpadl { get; }

    /// <summary>Guest to host.</summary>
    public GuestRing Outbound { get; }

    /// <summary>Host to guest.</summary>
    public GuestRing Inbound { get; }

    /// <summary>HvCallSignalEvents sent.</summary>
    public long Signals { get; private set; }

    /// <summary>Interrupts that arrived.</summary>
    public long Interrupts => Interlocked.Read(ref _interrupts);

    /// <summary>The VP the last interrupt arrived on.</summary>
    public uint LastVp => Volatile.Read(ref _lastVp);

    /// <summary>Writes a packet and signals if the host has to know. False when the ring is full.</summary>
    public bool TrySend(PacketType type, PacketFlags flags, ulong transactionId, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> header = default)
    {
        var descriptor = new PacketDescriptor { Type = type, Flags = flags, TransactionId = transactionId };
        if (!Outbound.TryWrite(descriptor, header, payload, out bool signal))
        {
            return false;
        }

        if (signal)
        {
            Signal();
        }

        return true;
    }

    /// <summary>An inband packet that wants an answer, or (transactionId 0) none.</summary>
    public bool TrySendInBand(ulong transactionId, ReadOnlySpan<byte> payload) =>
        TrySend(PacketType.DataInBand, transactionId != 0 ? PacketFlags.CompletionRequested : PacketFlags.None, transactionId, payload);

    /// <summary>vmbus_sendpacket_mpb_desc: a request with one range of guest memory.</summary>
    public bool TrySendGpaDirect(ulong transactionId, ReadOnlySpan<byte> payload, uint byteCount, uint byteOffset, ReadOnlySpan<ulong> pfns)
    {
        byte[] header = new byte[16 + (pfns.Length * 8)];
        var direct = new GpaDirectHeader { RangeCount = 1 };
        var range = new GpaRangeHeader { ByteCount = byteCount, ByteOffset = byteOffset };
        MemoryMarshal.Write(header, in direct);
        MemoryMarshal.Write(header.AsSpan(8), in range);
        MemoryMarshal.AsBytes(pfns).CopyTo(header.AsSpan(16));
        return TrySend(PacketType.DataUsingGpaDirect, PacketFlags.CompletionRequested, transactionId, payload, header);
    }

    /// <summary>HvCallSignalEvent on the channel's connection.</summary>
    public void Signal()
    {
        Signals++;
        _ = _synic.GuestSignalEvent(Offer.ConnectionId);
    }

    /// <summary>Takes one packet and gives its space back at once; null when there is none.</summary>
    public GuestPacket? TryReceive()
    {
        GuestPacket? packet = Inbound.TryRead();
        if (packet is not null && Inbound.EndRead())
        {
            Signal();
        }

        return packet;
    }

    /// <summary>The same without allocations: the payload's length, or -1 when there is no packet.</summary>
    public int TryReceive(out ulong transactionId)
    {
        transactionId = 0;
        if (!Inbound.TryRead(out PacketDescriptor descriptor, out _, out ReadOnlySpan<byte> payload))
        {
            return -1;
        }

        transactionId = descriptor.TransactionId;
        int bytes = payload.Length;
        if (Inbound.EndRead())
        {
            Signal();
        }

        return bytes;
    }

    /// <summary>Waits for a packet the way vmbus_on_event does: masked while reading, unmask, look again, sleep.</summary>
    /// <exception cref="TimeoutException">None came.</exception>
    public GuestPacket Receive(TimeSpan timeout)
    {
        while (true)
        {
            Inbound.Mask();
            GuestPacket? packet = TryReceive();
            bool empty = Inbound.Unmask();
            if (packet is not null)
            {
                return packet;
            }

            if (empty && !_interrupt.Wait(timeout))
            {
                throw new TimeoutException("no packet from the host");
            }
        }
    }

    /// <summary>Waits for an interrupt only.</summary>
    public bool WaitInterrupt(TimeSpan timeout) => _interrupt.Wait(timeout);

    public void Dispose()
    {
        _synic.OnFlag((ushort)Offer.Relid, null);
        _interrupt.Dispose();
    }

    private void OnInterrupt(uint vp)
    {
        Volatile.Write(ref _lastVp, vp);
        Interlocked.Increment(ref _interrupts);
        try
        {
            _interrupt.Release();
        }
        catch (ObjectDisposedException)
        {
            // A late interrupt of a channel just closed.
        }
    }
}

// The reading end of the guest-to-host ring. The other end is drivers/hv/ring_buffer.c: hv_ringbuffer_write and hv_signal_on_write.
using System.Runtime.InteropServices;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

/// <summary>Reads packets. Belongs to the channel's worker; not thread-safe.</summary>
internal sealed class RingReader
{
    private const int DescriptorBytes = 16;
    private readonly RingMemory _ring;
    private byte[] _body = new byte[512];
    private uint _read;
    private uint _committed;
    private uint _next;

    public RingReader(RingMemory ring)
    {
        _ring = ring;
        uint start = Volatile.Read(ref ring.Control(RingControl.ReadIndex));
        // A guest's nonsense shows at the first read: then nothing is read at all.
        _read = _committed = _next = ring.IsIndex(start) ? start : 0;
    }

    /// <summary>The packet's descriptor, read once. Valid after <see cref="TryPeek"/>.</summary>
    public PacketDescriptor Descriptor { get; private set; }

    /// <summary>The packet after its descriptor: headers and payload, a private copy.</summary>
    public ReadOnlySpan<byte> Body => _body.AsSpan(0, (Descriptor.Length8 * 8) - DescriptorBytes);

    /// <summary>Bytes read but not yet given back to the guest.</summary>
    public uint Uncommitted => Distance(_committed, _read);

    /// <summary>The ring has no room for the guest, or might soon: what was read should be given back.</summary>
    public bool ShouldCommit => Uncommitted >= _ring.DataBytes / 4;

    /// <summary>Looks at the next packet without consuming it.</summary>
    public RingReadStatus TryPeek()
    {
        // Acquire: the packet's bytes are read after the index that says they are there (hv_ringbuffer_write: virt_mb before the index).
        uint write = Volatile.Read(ref _ring.Control(RingControl.WriteIndex));
        if (!_ring.IsIndex(write))
        {
            return RingReadStatus.Broken;
        }

        uint available = Distance(_read, write);
        if (available == 0)
        {
            return RingReadStatus.Empty;
        }

        if (available < DescriptorBytes + RingControl.TrailerBytes)
        {
            return RingReadStatus.Broken;
        }

        PacketDescriptor descriptor = default;
        _ring.Read(_read, MemoryMarshal.AsBytes(new Span<PacketDescriptor>(ref descriptor)));
        int bytes = descriptor.Length8 * 8;
        if (descriptor.Offset8 * 8 < DescriptorBytes || descriptor.Length8 < descriptor.Offset8
            || bytes + RingControl.TrailerBytes > available
            || (descriptor.Flags & ~PacketFlags.CompletionRequested) != 0)
        {
            return RingReadStatus.Broken;
        }

        Descriptor = descriptor;
        int body = bytes - DescriptorBytes;
        if (body > _body.Length)
        {
            // Grows to the largest packet seen: at most the ring's size, and at most 512 KiB.
            _body = new byte[Math.Max(body, _body.Length * 2)];
        }

        _ring.Read(_ring.Advance(_read, DescriptorBytes), _body.AsSpan(0, body));
        _next = _ring.Advance(_read, (uint)(bytes + RingControl.TrailerBytes));
        return RingReadStatus.Packet;
    }

    /// <summary>Consumes the packet last peeked at.</summary>
    public void Advance() => _read = _next;

    /// <summary>Gives the space of consumed packets back to the guest.</summary>
    /// <returns>True when the guest waits for space and now has it: interrupt it (the mirror of hv_pkt_iter_close).</returns>
    public bool Commit()
    {
        uint consumed = Uncommitted;
        if (consumed == 0)
        {
            return false;
        }

        // Release: all reads of packets are done before the guest may overwrite them.
        Volatile.Write(ref _ring.Control(RingControl.ReadIndex), _read);
        _committed = _read;
        if ((Volatile.Read(ref _ring.Control(RingControl.FeatureBits)) & RingControl.FeaturePendingSendSize) == 0)
        {
            return false;
        }

        // Store of the read index before load of the pending size; the guest stores the size and then loads the index.
        Interlocked.MemoryBarrier();
        uint pending = Volatile.Read(ref _ring.Control(RingControl.PendingSendSize));
        if (pending == 0)
        {
            return false;
        }

        uint write = Volatile.Read(ref _ring.Control(RingControl.WriteIndex));
        if (!_ring.IsIndex(write))
        {
            return false;
        }

        // Only the step from "not enough" to "enough" is worth an interrupt; exactly full counts as not enough.
        uint free = _ring.DataBytes - Distance(_read, write);
        return free > pending && free - Math.Min(consumed, free) <= pending;
    }

    /// <summary>Tells the guest that signals are unnecessary while we are reading anyway.</summary>
    public void Mask() => Volatile.Write(ref _ring.Control(RingControl.InterruptMask), 1);

    /// <summary>Asks for signals again. Everything read must be committed before.</summary>
    /// <returns>True when the ring is still empty; false: a packet slipped in, for which the guest may not have signalled.</returns>
    public bool UnmaskAndCheckEmpty()
    {
        Volatile.Write(ref _ring.Control(RingControl.InterruptMask), 0);
        // hv_signal_on_write stores the write index, then loads the mask; we store the mask, then load the index.
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref _ring.Control(RingControl.WriteIndex)) == _read;
    }

    private uint Distance(uint from, uint to) => to >= from ? to - from : _ring.DataBytes - from + to;
}

// The writing end of the host-to-guest ring. The other end is drivers/hv/ring_buffer.c: hv_pkt_iter_first to hv_pkt_iter_close.
using System.Runtime.InteropServices;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

/// <summary>Writes packets. The channel serializes access.</summary>
internal sealed class RingWriter
{
    private const int DescriptorBytes = 16;
    private readonly RingMemory _ring;
    private readonly RingMemory _fromGuest;
    private uint _write;
    private uint _waitingFor;

    /// <param name="ring">The host-to-guest ring.</param>
    /// <param name="fromGuest">The other ring: the guest declares its features there.</param>
    public RingWriter(RingMemory ring, RingMemory fromGuest)
    {
        _ring = ring;
        _fromGuest = fromGuest;
        uint start = Volatile.Read(ref ring.Control(RingControl.WriteIndex));
        _write = ring.IsIndex(start) ? start : 0;
        Volatile.Write(ref ring.Control(RingControl.PendingSendSize), 0);
        // We set pending_send_sz here and honour it in the other ring. Linux sets this bit on both sides by itself.
        Volatile.Write(ref ring.Control(RingControl.FeatureBits), RingControl.FeaturePendingSendSize);
    }

    /// <summary>A write found no room, and <see cref="TryStopWaiting"/> has not found some yet.</summary>
    public bool IsWaiting => _waitingFor != 0;

    /// <summary>The guest will signal when it has made room; otherwise we have to look ourselves.</summary>
    public bool GuestSignalsSpace =>
        (Volatile.Read(ref _fromGuest.Control(RingControl.FeatureBits)) & RingControl.FeaturePendingSendSize) != 0;

    /// <summary>Writes one packet: descriptor, extra header, two pieces of payload, padding and trailer.</summary>
    /// <param name="descriptor">Its lengths are filled in here.</param>
    /// <param name="header">Between descriptor and payload; a multiple of 8 long.</param>
    /// <param name="payload">First part of the payload.</param>
    /// <param name="payload2">Second part of the payload.</param>
    /// <param name="signal">The guest has to be interrupted for it.</param>
    public RingWriteStatus TryWrite(
        PacketDescriptor descriptor, ReadOnlySpan<byte> header, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> payload2, out bool signal)
    {
        signal = false;
        int offset = DescriptorBytes + header.Length;
        long padded = (offset + (long)payload.Length + payload2.Length + 7) & ~7L;
        long total = padded + RingControl.TrailerBytes;
        if (total >= _ring.DataBytes || padded > ushort.MaxValue * 8)
        {
            return RingWriteStatus.TooLarge;
        }

        if (!TryReserve((uint)total, out RingWriteStatus status))
        {
            return status;
        }

        descriptor.Offset8 = (ushort)(offset / 8);
        descriptor.Length8 = (ushort)(padded / 8);
        uint start = _write;
        uint at = _ring.Write(start, MemoryMarshal.AsBytes(new ReadOnlySpan<PacketDescriptor>(in descriptor)));
        at = _ring.Write(at, header);
        at = _ring.Write(at, payload);
        at = _ring.Write(at, payload2);
        ulong zero = 0;
        int padding = (int)(padded - offset - payload.Length - payload2.Length);
        at = _ring.Write(at, MemoryMarshal.AsBytes(new ReadOnlySpan<ulong>(in zero))[..padding]);
        ulong trailer = (ulong)start << 32;
        at = _ring.Write(at, MemoryMarshal.AsBytes(new ReadOnlySpan<ulong>(in trailer)));

        // Release: the packet before the index (hv_pkt_iter_avail acquires it).
        Volatile.Write(ref _ring.Control(RingControl.WriteIndex), at);
        _write = at;
        // hv_end_read stores the mask, then loads the write index; we store the index, then load the mask.
        Interlocked.MemoryBarrier();
        signal = Volatile.Read(ref _ring.Control(RingControl.InterruptMask)) == 0
            && Volatile.Read(ref _ring.Control(RingControl.ReadIndex)) == start;
        return RingWriteStatus.Written;
    }

    /// <summary>Ends the wait for room if there is some now.</summary>
    public bool TryStopWaiting()
    {
        if (_waitingFor == 0 || !TryGetFree(out uint free) || free <= _waitingFor)
        {
            return false;
        }

        WaitFor(0);
        return true;
    }

    private void WaitFor(uint bytes)
    {
        _waitingFor = bytes;
        Volatile.Write(ref _ring.Control(RingControl.PendingSendSize), bytes);
    }

    private bool TryReserve(uint total, out RingWriteStatus status)
    {
        status = RingWriteStatus.Closed;
        if (!TryGetFree(out uint free))
        {
            return false;
        }

        // Strictly more than needed: a full ring would look like an empty one.
        if (free <= total)
        {
            status = RingWriteStatus.Full;
            uint others = _waitingFor;
            WaitFor(Math.Max(others, total));
            // Store of the pending size before another look at the read index: hv_pkt_iter_close does the reverse.
            Interlocked.MemoryBarrier();
            if (!TryGetFree(out free) || free <= total)
            {
                return false;
            }

            // Room came up meanwhile. Whoever was waiting before still is, and gets the guest's signal.
            WaitFor(others);
        }

        return true;
    }

    private bool TryGetFree(out uint free)
    {
        uint read = Volatile.Read(ref _ring.Control(RingControl.ReadIndex));
        if (!_ring.IsIndex(read))
        {
            free = 0;
            return false;
        }

        free = read > _write ? read - _write : _ring.DataBytes - (_write - read);
        return true;
    }
}

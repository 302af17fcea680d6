// The guest's two ends of ring buffers, after drivers/hv/ring_buffer.c; independent of the server's, so that each tests the other.
using System.Runtime.InteropServices;
using Sharpvisor.Core;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsc;

/// <summary>A packet taken from the host-to-guest ring.</summary>
/// <param name="Descriptor">Its descriptor.</param>
/// <param name="Header">What lies between descriptor and payload.</param>
/// <param name="Payload">The payload, padded to 8 bytes.</param>
public sealed record GuestPacket(PacketDescriptor Descriptor, byte[] Header, byte[] Payload);

/// <summary>One ring of a guest: control page and data pages, possibly scattered. Not thread-safe.</summary>
public sealed class GuestRing
{
    private readonly Memory<byte> _control;
    private readonly Memory<byte>[] _pages;
    private byte[] _packet = new byte[256];
    private uint _privateRead;

    /// <param name="memory">The guest's memory.</param>
    /// <param name="pfns">Control page first.</param>
    public GuestRing(GuestMemory memory, ReadOnlySpan<ulong> pfns)
    {
        ArgumentNullException.ThrowIfNull(memory);
        var pages = new Memory<byte>[pfns.Length];
        for (int i = 0; i < pfns.Length; i++)
        {
            if (!memory.TryGetMemory(pfns[i] << GuestMemory.PageShift, GuestMemory.PageBytes, out pages[i]))
            {
                throw new ArgumentException("a ring page is not RAM", nameof(pfns));
            }
        }

        _control = pages[0];
        _pages = pages[1..];
        _control.Span.Clear();
        // hv_ringbuffer_init
        Control(RingControl.FeatureBits) = RingControl.FeaturePendingSendSize;
    }

    public uint DataBytes => (uint)_pages.Length * GuestMemory.PageBytes;

    /// <summary>Bytes the writer may still use, including the one that must stay free.</summary>
    public uint FreeBytes
    {
        get
        {
            uint read = Volatile.Read(ref Control(RingControl.ReadIndex));
            uint write = Volatile.Read(ref Control(RingControl.WriteIndex));
            return write >= read ? DataBytes - (write - read) : read - write;
        }
    }

    /// <summary>A word of the control page.</summary>
    public ref uint Control(int word) => ref MemoryMarshal.Cast<byte, uint>(_control.Span)[word];

    /// <summary>Starts both indices somewhere else than 0 (before the open).</summary>
    public void StartAt(uint index)
    {
        Control(RingControl.ReadIndex) = index;
        Control(RingControl.WriteIndex) = index;
        _privateRead = index;
    }

    /// <summary>hv_ringbuffer_write. False when the ring is full.</summary>
    public bool TryWrite(PacketDescriptor descriptor, ReadOnlySpan<byte> header, ReadOnlySpan<byte> payload, out bool signal)
    {
        signal = false;
        int offset = 16 + header.Length;
        int padded = (offset + payload.Length + 7) & ~7;
        if (FreeBytes <= padded + RingControl.TrailerBytes)
        {
            return false;
        }

        descriptor.Offset8 = (ushort)(offset / 8);
        descriptor.Length8 = (ushort)(padded / 8);
        Span<byte> packet = Scratch(padded + RingControl.TrailerBytes);
        MemoryMarshal.Write(packet, in descriptor);
        header.CopyTo(packet[16..]);
        payload.CopyTo(packet[offset..]);
        packet[(offset + payload.Length)..].Clear();
        WriteRaw(packet, out signal);
        return true;
    }

    /// <summary>Puts bytes into the ring as they are (for malformed packets); the last 8 become the trailer.</summary>
    public void WriteRaw(Span<byte> packet, out bool signal)
    {
        uint old = Volatile.Read(ref Control(RingControl.WriteIndex));
        ulong trailer = (ulong)old << 32;
        MemoryMarshal.Write(packet[^8..], in trailer);
        Copy(old, packet, toRing: true);
        Interlocked.MemoryBarrier();
        Volatile.Write(ref Control(RingControl.WriteIndex), (old + (uint)packet.Length) % DataBytes);
        // hv_signal_on_write
        Interlocked.MemoryBarrier();
        signal = Volatile.Read(ref Control(RingControl.InterruptMask)) == 0
            && Volatile.Read(ref Control(RingControl.ReadIndex)) == old;
    }

    /// <summary>hv_pkt_iter_first and hv_pkt_iter_next: takes a packet without giving its space back.</summary>
    public GuestPacket? TryRead() => TryRead(out PacketDescriptor descriptor, out ReadOnlySpan<byte> header, out ReadOnlySpan<byte> payload)
        ? new GuestPacket(descriptor, header.ToArray(), payload.ToArray())
        : null;

    /// <summary>The same without allocations; header and payload are valid until the next read or write.</summary>
    public bool TryRead(out PacketDescriptor descriptor, out ReadOnlySpan<byte> header, out ReadOnlySpan<byte> payload)
    {
        header = payload = default;
        descriptor = default;
        uint write = Volatile.Read(ref Control(RingControl.WriteIndex));
        uint available = write >= _privateRead ? write - _privateRead : DataBytes - _privateRead + write;
        if (available < 16)
        {
            return false;
        }

        Copy(_privateRead, MemoryMarshal.AsBytes(new Span<PacketDescriptor>(ref descriptor)), toRing: false);
        int length = descriptor.Length8 * 8;
        int offset = descriptor.Offset8 * 8;
        if (length + RingControl.TrailerBytes > available || offset < 16 || offset > length)
        {
            throw new InvalidDataException($"host wrote a broken packet: offset {offset}, length {length}, available {available}");
        }

        Span<byte> bytes = Scratch(length + RingControl.TrailerBytes);
        Copy(_privateRead, bytes, toRing: false);
        ulong trailer = MemoryMarshal.Read<ulong>(bytes[length..]);
        if (trailer != (ulong)_privateRead << 32)
        {
            throw new InvalidDataException($"host wrote trailer {trailer:x} at {_privateRead:x}");
        }

        _privateRead = (_privateRead + (uint)bytes.Length) % DataBytes;
        header = bytes[16..offset];
        payload = bytes[offset..length];
        return true;
    }

    /// <summary>hv_pkt_iter_close. True when the host waits for space and is to be signalled.</summary>
    public bool EndRead()
    {
        uint start = Volatile.Read(ref Control(RingControl.ReadIndex));
        Volatile.Write(ref Control(RingControl.ReadIndex), _privateRead);
        if ((Volatile.Read(ref Control(RingControl.FeatureBits)) & RingControl.FeaturePendingSendSize) == 0)
        {
            return false;
        }

        Interlocked.MemoryBarrier();
        uint pending = Volatile.Read(ref Control(RingControl.PendingSendSize));
        if (pending == 0)
        {
            return false;
        }

        uint free = FreeBytes;
        uint read = _privateRead >= start ? _privateRead - start : DataBytes - start + _privateRead;
        return free - read <= pending && free > pending;
    }

    /// <summary>hv_begin_read.</summary>
    public void Mask()
    {
        Volatile.Write(ref Control(RingControl.InterruptMask), 1);
        Interlocked.MemoryBarrier();
    }

    /// <summary>hv_end_read: true when the ring is still empty.</summary>
    public bool Unmask()
    {
        Volatile.Write(ref Control(RingControl.InterruptMask), 0);
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref Control(RingControl.WriteIndex)) == _privateRead;
    }

    private Span<byte> Scratch(int bytes)
    {
        if (bytes > _packet.Length)
        {
            _packet = new byte[Math.Max(bytes, _packet.Length * 2)];
        }

        return _packet.AsSpan(0, bytes);
    }

    private void Copy(uint offset, Span<byte> bytes, bool toRing)
    {
        while (bytes.Length > 0)
        {
            int inPage = (int)(offset & (GuestMemory.PageBytes - 1));
            int run = Math.Min(bytes.Length, GuestMemory.PageBytes - inPage);
            Span<byte> page = _pages[offset >> GuestMemory.PageShift].Span.Slice(inPage, run);
            if (toRing)
            {
                bytes[..run].CopyTo(page);
            }
            else
            {
                page.CopyTo(bytes);
            }

            bytes = bytes[run..];
            offset = (offset + (uint)run) % DataBytes;
        }
    }
}

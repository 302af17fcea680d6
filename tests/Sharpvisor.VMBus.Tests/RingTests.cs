// The ring's arithmetic, both directions, against the guest's independent implementation of it.
using System.Runtime.InteropServices;
using Sharpvisor.Core;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;

namespace Sharpvisor.VMBus.Tests;

public sealed class RingTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_packet_to_the_host_survives_the_wrap_at_every_offset(bool scattered)
    {
        using var memory = new GuestMemory(4 << 20);
        ulong[] pfns = scattered ? [20, 10, 30] : [20, 21, 22];
        byte[] payload = [.. Enumerable.Range(1, 200).Select(i => (byte)i)];
        for (uint start = 0; start < 8192; start += 8)
        {
            var guest = new GuestRing(memory, pfns);
            guest.StartAt(start);
            var reader = new RingReader(RingMemory.TryCreate(memory, pfns)!);
            Assert.Equal(RingReadStatus.Empty, reader.TryPeek());
            var descriptor = new PacketDescriptor { Type = PacketType.DataInBand, TransactionId = start };
            Assert.True(guest.TryWrite(descriptor, default, payload, out bool signal));
            Assert.True(signal);
            Assert.Equal(RingReadStatus.Packet, reader.TryPeek());
            Assert.Equal(start, reader.Descriptor.TransactionId);
            Assert.Equal(payload, reader.Body.ToArray());
            reader.Advance();
            Assert.False(reader.Commit());
            Assert.Equal(RingReadStatus.Empty, reader.TryPeek());
            Assert.Equal(8192u, guest.FreeBytes);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_packet_to_the_guest_survives_the_wrap_at_every_offset(bool scattered)
    {
        using var memory = new GuestMemory(4 << 20);
        ulong[] pfns = scattered ? [20, 10, 30] : [20, 21, 22];
        ulong[] other = [40, 41];
        byte[] first = [.. Enumerable.Range(1, 61).Select(i => (byte)i)];
        byte[] second = [.. Enumerable.Range(100, 70).Select(i => (byte)i)];
        byte[] header = new byte[16];
        for (uint start = 0; start < 8192; start += 8)
        {
            var guest = new GuestRing(memory, pfns);
            guest.StartAt(start);
            _ = new GuestRing(memory, other);
            var writer = new RingWriter(RingMemory.TryCreate(memory, pfns)!, RingMemory.TryCreate(memory, other)!);
            var descriptor = new PacketDescriptor { Type = PacketType.Completion, TransactionId = start };
            Assert.Equal(RingWriteStatus.Written, writer.TryWrite(descriptor, header, first, second, out bool signal));
            Assert.True(signal);
            GuestPacket? packet = guest.TryRead();
            Assert.NotNull(packet);
            Assert.Equal(start, packet.Descriptor.TransactionId);
            Assert.Equal(16, packet.Header.Length);
            Assert.Equal([.. first, .. second, 0, 0, 0, 0, 0], packet.Payload);
            Assert.False(guest.EndRead());
            Assert.Null(guest.TryRead());
        }
    }

    [Fact]
    public void The_guest_signals_only_when_the_ring_was_empty_and_the_mask_is_clear()
    {
        using var memory = new GuestMemory(4 << 20);
        ulong[] pfns = [20, 21];
        var guest = new GuestRing(memory, pfns);
        var reader = new RingReader(RingMemory.TryCreate(memory, pfns)!);
        var descriptor = new PacketDescriptor { Type = PacketType.DataInBand };
        Assert.True(guest.TryWrite(descriptor, default, new byte[8], out bool signal) && signal);
        Assert.True(guest.TryWrite(descriptor, default, new byte[8], out signal));
        Assert.False(signal);
        reader.Mask();
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal(RingReadStatus.Packet, reader.TryPeek());
            reader.Advance();
        }

        reader.Commit();
        Assert.True(guest.TryWrite(descriptor, default, new byte[8], out signal));
        Assert.False(signal);
        Assert.False(reader.UnmaskAndCheckEmpty());
        Assert.Equal(RingReadStatus.Packet, reader.TryPeek());
        reader.Advance();
        reader.Commit();
        Assert.True(reader.UnmaskAndCheckEmpty());
        Assert.True(guest.TryWrite(descriptor, default, new byte[8], out signal) && signal);
    }

    [Fact]
    public void The_host_interrupts_only_when_the_ring_was_empty_and_the_mask_is_clear()
    {
        using var memory = new GuestMemory(4 << 20);
        ulong[] pfns = [20, 21];
        ulong[] other = [40, 41];
        var guest = new GuestRing(memory, pfns);
        _ = new GuestRing(memory, other);
        var writer = new RingWriter(RingMemory.TryCreate(memory, pfns)!, RingMemory.TryCreate(memory, other)!);
        var descriptor = new PacketDescriptor { Type = PacketType.DataInBand };
        writer.TryWrite(descriptor, default, new byte[8], default, out bool signal);
        Assert.True(signal);
        writer.TryWrite(descriptor, default, new byte[8], default, out signal);
        Assert.False(signal);
        guest.Mask();
        Assert.NotNull(guest.TryRead());
        Assert.NotNull(guest.TryRead());
        guest.EndRead();
        writer.TryWrite(descriptor, default, new byte[8], default, out signal);
        Assert.False(signal);
        Assert.False(guest.Unmask());
    }

    [Fact]
    public void A_guest_waiting_for_room_is_interrupted_once_when_there_is_enough()
    {
        using var memory = new GuestMemory(4 << 20);
        ulong[] pfns = [20, 21];
        var guest = new GuestRing(memory, pfns);
        var reader = new RingReader(RingMemory.TryCreate(memory, pfns)!);
        var descriptor = new PacketDescriptor { Type = PacketType.DataInBand };
        int written = 0;
        while (guest.TryWrite(descriptor, default, new byte[488], out _))
        {
            written++;
        }

        Assert.Equal(7, written);
        guest.Control(RingControl.PendingSendSize) = 1024;
        int interrupts = 0;
        for (int i = 1; i <= written; i++)
        {
            Assert.Equal(RingReadStatus.Packet, reader.TryPeek());
            reader.Advance();
            if (reader.Commit())
            {
                interrupts++;
                Assert.True(guest.FreeBytes > 1024);
                Assert.True(guest.FreeBytes - 512 <= 1024);
            }
        }

        Assert.Equal(1, interrupts);
    }

    [Fact]
    public void A_guest_without_the_feature_is_not_interrupted_for_room()
    {
        using var memory = new GuestMemory(4 << 20);
        ulong[] pfns = [20, 21];
        var guest = new GuestRing(memory, pfns);
        guest.Control(RingControl.FeatureBits) = 0;
        var reader = new RingReader(RingMemory.TryCreate(memory, pfns)!);
        while (guest.TryWrite(new PacketDescriptor { Type = PacketType.DataInBand }, default, new byte[488], out _))
        {
        }

        guest.Control(RingControl.PendingSendSize) = 8;
        while (reader.TryPeek() == RingReadStatus.Packet)
        {
            reader.Advance();
            Assert.False(reader.Commit());
        }
    }

    [Fact]
    public void A_full_ring_never_fills_completely_and_says_how_much_it_waits_for()
    {
        using var memory = new GuestMemory(4 << 20);
        ulong[] pfns = [20, 21];
        ulong[] other = [40, 41];
        var guest = new GuestRing(memory, pfns);
        _ = new GuestRing(memory, other);
        var writer = new RingWriter(RingMemory.TryCreate(memory, pfns)!, RingMemory.TryCreate(memory, other)!);
        var descriptor = new PacketDescriptor { Type = PacketType.DataInBand };
        int written = 0;
        RingWriteStatus status;
        while ((status = writer.TryWrite(descriptor, default, new byte[488], default, out _)) == RingWriteStatus.Written)
        {
            written++;
        }

        Assert.Equal(RingWriteStatus.Full, status);
        Assert.Equal(7, written);
        Assert.Equal(512u, guest.Control(RingControl.PendingSendSize));
        Assert.True(writer.IsWaiting);
        Assert.False(writer.TryStopWaiting());
        Assert.NotNull(guest.TryRead());
        // One packet read: 1024 bytes free, more than the 512 waited for.
        Assert.True(guest.EndRead());
        Assert.True(writer.TryStopWaiting());
        Assert.Equal(0u, guest.Control(RingControl.PendingSendSize));
        Assert.Equal(RingWriteStatus.TooLarge, writer.TryWrite(descriptor, default, new byte[4096 - 16 - 8], default, out _));
    }

    [Theory]
    [InlineData(RingControl.WriteIndex, 4096u)]
    [InlineData(RingControl.WriteIndex, 4u)]
    [InlineData(RingControl.WriteIndex, 8u)]
    [InlineData(RingControl.WriteIndex, uint.MaxValue)]
    public void Hostile_indices_break_the_reader_and_nothing_else(int word, uint value)
    {
        using var memory = new GuestMemory(4 << 20);
        ulong[] pfns = [20, 21];
        var guest = new GuestRing(memory, pfns);
        var reader = new RingReader(RingMemory.TryCreate(memory, pfns)!);
        guest.Control(word) = value;
        Assert.Equal(RingReadStatus.Broken, reader.TryPeek());
    }

    [Theory]
    [InlineData(4096u)]
    [InlineData(12u)]
    [InlineData(uint.MaxValue)]
    public void A_hostile_read_index_stops_the_writer(uint value)
    {
        using var memory = new GuestMemory(4 << 20);
        ulong[] pfns = [20, 21];
        ulong[] other = [40, 41];
        var guest = new GuestRing(memory, pfns);
        _ = new GuestRing(memory, other);
        var writer = new RingWriter(RingMemory.TryCreate(memory, pfns)!, RingMemory.TryCreate(memory, other)!);
        guest.Control(RingControl.ReadIndex) = value;
        Assert.Equal(RingWriteStatus.Closed, writer.TryWrite(default, default, new byte[8], default, out _));
    }

    [Theory]
    [InlineData(6, 1, 3, 0)]
    [InlineData(6, 4, 3, 0)]
    [InlineData(6, 2, 300, 0)]
    [InlineData(6, 2, 3, 2)]
    [InlineData(0, 2, 3, 0)]
    [InlineData(3, 2, 3, 0)]
    [InlineData(9, 2, 3, 0)]
    [InlineData(9, 3, 3, 0)]
    [InlineData(7, 2, 3, 0)]
    [InlineData(65535, 2, 3, 0)]
    public void Malformed_descriptors_are_found(int type, int offset8, int length8, int flags)
    {
        using var memory = new GuestMemory(4 << 20);
        ulong[] pfns = [20, 21];
        var guest = new GuestRing(memory, pfns);
        var reader = new RingReader(RingMemory.TryCreate(memory, pfns)!);
        byte[] packet = new byte[32];
        var descriptor = new PacketDescriptor
        {
            Type = (PacketType)type,
            Offset8 = (ushort)offset8,
            Length8 = (ushort)length8,
            Flags = (PacketFlags)flags,
        };
        MemoryMarshal.Write(packet, in descriptor);
        guest.WriteRaw(packet, out _);
        bool accepted = reader.TryPeek() == RingReadStatus.Packet
            && PacketParser.TryParse(reader.Descriptor, reader.Body, new GpaRangeList(), null, out _);
        Assert.False(accepted);
    }

    [Fact]
    public void Rings_of_pages_that_are_no_memory_are_refused()
    {
        using var memory = new GuestMemory(4 << 20);
        Assert.Null(RingMemory.TryCreate(memory, [20]));
        Assert.Null(RingMemory.TryCreate(memory, [20, 4096]));
        Assert.Null(RingMemory.TryCreate(memory, [ulong.MaxValue, 20]));
        Assert.Null(RingMemory.TryCreate(memory, [20, 1UL << 52]));
        Assert.NotNull(RingMemory.TryCreate(memory, [20, 20]));
    }

    [Fact]
    public void Writing_and_reading_packets_allocates_nothing()
    {
        using var memory = new GuestMemory(4 << 20);
        ulong[] pfns = [20, 31, 22, 33];
        var ring = RingMemory.TryCreate(memory, pfns)!;
        var writer = new RingWriter(ring, RingMemory.TryCreate(memory, [40, 41])!);
        var reader = new RingReader(ring);
        var ranges = new GpaRangeList();
        byte[] header = new byte[8 + 8 + 16];
        header[4] = 1;
        header[9] = 0x20;
        byte[] payload = new byte[64];
        var descriptor = new PacketDescriptor { Type = PacketType.DataUsingGpaDirect };
        long before = 0;
        for (int i = 0; i < 2000; i++)
        {
            if (i == 100)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            bool good = writer.TryWrite(descriptor, header, payload, default, out _) == RingWriteStatus.Written
                && reader.TryPeek() == RingReadStatus.Packet
                && PacketParser.TryParse(reader.Descriptor, reader.Body, ranges, null, out IncomingPacket packet)
                && packet.Ranges!.TotalBytes == 8192;
            if (!good)
            {
                Assert.Fail($"packet {i}");
            }

            reader.Advance();
            reader.Commit();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }
}

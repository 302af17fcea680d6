// The network VSP against the C# guest driver: negotiation, frames both ways, offloads, receive scaling, flow control.
using System.Buffers.Binary;
using Sharpvisor.Core;
using Sharpvisor.Vsc.Network;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

public sealed class NetVspTests
{
    private const uint Success = 0;
    private static readonly byte[] s_key = [.. Enumerable.Range(1, 40).Select(i => (byte)(i * 7))];

    [Theory]
    [InlineData(0x2u)]
    [InlineData(0x30002u)]
    [InlineData(0x40000u)]
    [InlineData(0x50000u)]
    [InlineData(0x60000u)]
    [InlineData(0x60001u)]
    public void Every_version_carries_frames_both_ways(uint version)
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open(version);
        Assert.Equal(version, vsc.Version);

        byte[] frame = Frames.Tcp(100);
        Assert.True(bus.Port.Card!.Receive(frame, default));
        Assert.Equal(frame, vsc.Receive().Data);

        Assert.Equal(1u, vsc.Send(NetVsc.Packet(frame), sectionBytes: 0));
        Assert.True(bus.Port.Sent.TryDequeue(out (byte[] Frame, FrameOffload Offload) sent));
        Assert.Equal(frame, sent.Frame);
        Assert.Equal(default, sent.Offload);
    }

    [Theory]
    [InlineData(0x70000u)]
    [InlineData(0x1u)]
    [InlineData(0x30001u)]
    public void A_version_that_does_not_exist_is_refused_and_another_may_follow(uint version)
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.OpenOnly();
        Assert.False(vsc.Negotiate(version));
        Assert.True(vsc.Negotiate(0x50000));
        Assert.False(vsc.Negotiate(0x60001));
    }

    [Theory]
    [InlineData(1500, 1728)]
    [InlineData(9000, 9152)]
    [InlineData(65000, 9152)]
    public void Receive_sections_hold_what_the_MTU_allows(int mtu, int section)
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open(mtu: mtu);
        Assert.Equal(section, vsc.SectionBytes);
        Assert.Equal(64 * 4096 / section, vsc.SectionCount);
        int largest = Math.Min(mtu, 9000) + 14;
        byte[] frame = Frames.Plain(largest);
        Assert.True(bus.Port.Card!.Receive(Frames.Plain(10_000), default));
        Assert.True(bus.Port.Card!.Receive(frame, default));
        Assert.Equal(frame, vsc.Receive().Data);
    }

    [Fact]
    public void The_guest_learns_what_the_card_is()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        Assert.Equal(Success, vsc.Query(0x0101_0101, default, out byte[] address));
        Assert.Equal(NetBus.Address, MacAddress.Read(address));
        Assert.Equal(1500u, Number(vsc, 0x0001_0106));
        Assert.Equal(100_000_000u, Number(vsc, 0x0001_0107));
        Assert.Equal(0u, Number(vsc, 0x0001_0114));
        Assert.Equal(0xDu, Number(vsc, 0x0001_010E));
        Assert.Equal(0xC000_00BBu, vsc.Query(0x1234_5678, default, out _));
        Assert.Equal(Success, vsc.Query(0x0001_0101, default, out byte[] list));
        for (int i = 0; i < list.Length; i += 4)
        {
            uint oid = BinaryPrimitives.ReadUInt32LittleEndian(list.AsSpan(i));
            byte[] input = oid == 0xFC01_020D ? OffloadQuery(3, 156) : new byte[18];
            bool isSetOnly = oid is 0x0001_0204 or 0x0001_021B or 0xFC01_020C;
            Assert.Equal(isSetOnly, vsc.Query(oid, input, out byte[] data) != Success);
            Assert.Equal(isSetOnly, data.Length == 0);
        }
    }

    [Theory]
    [InlineData(0x40000u, 2, 144, false)]
    [InlineData(0x60000u, 3, 156, false)]
    [InlineData(0x60001u, 3, 156, true)]
    public void Offload_capabilities_are_those_of_the_revision_that_is_asked_for(uint version, byte revision, int bytes, bool coalesces)
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open(version);
        Assert.Equal(Success, vsc.Query(0xFC01_020D, OffloadQuery(revision, bytes), out byte[] capabilities));
        Assert.Equal(bytes, capabilities.Length);
        Assert.Equal([0xA7, revision, (byte)bytes, 0], capabilities[..4]);
        // NDIS_TXCSUM_ALL_TCP4 and UDP, LSOv2 for both, as rndis_netdev_set_hwcaps looks at them.
        Assert.Equal(0x54u, BinaryPrimitives.ReadUInt32LittleEndian(capabilities.AsSpan(8)) & 0x54);
        Assert.Equal(2u, BinaryPrimitives.ReadUInt32LittleEndian(capabilities.AsSpan(80)));
        Assert.Equal(2u, BinaryPrimitives.ReadUInt32LittleEndian(capabilities.AsSpan(92)));
        Assert.Equal(5u, BinaryPrimitives.ReadUInt32LittleEndian(capabilities.AsSpan(104)) & 5);
        Assert.Equal(coalesces, bytes > 144 && capabilities[144] == 1 && capabilities[145] == 1);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(60)]
    [InlineData(1000)]
    public void A_message_comes_by_pages_by_a_section_or_part_by_each(int inSection)
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        byte[] frame = Frames.Plain(1000 - 44);
        byte[] message = NetVsc.Packet(frame);
        Assert.Equal(1000, message.Length);
        Assert.Equal(1u, vsc.Send(message, inSection));
        Assert.Equal(frame, Assert.Single(bus.Port.Sent).Frame);
    }

    [Fact]
    public void Several_frames_in_one_packet_are_all_sent()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        byte[][] frames = [.. Enumerable.Range(0, 6).Select(i => Frames.Plain(100 + (i * 8)))];
        // Padded to the alignment that INIT_CMPLT asks for.
        byte[] message = [.. frames.SelectMany(f => Pad(NetVsc.Packet(f)))];
        Assert.Equal(1u, vsc.Send(message, message.Length));
        Assert.Equal(frames, bus.Port.Sent.Select(s => s.Frame));
        Assert.Equal(1, bus.Statistics["network.nic0.tx_packets"].Value);
    }

    [Fact]
    public void Checksum_offload_is_passed_on()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        byte[] frame = WithPseudoSum(Frames.Tcp(333));
        Assert.Equal(1u, vsc.Send(NetVsc.Packet(frame, (NetVsc.ChecksumInfo, 0x5 | (34 << 16)))));
        (byte[] sent, FrameOffload offload) = Assert.Single(bus.Port.Sent);
        Assert.Equal(new FrameOffload(0, 34, 16), offload);
        Assert.Equal(frame, sent);
        Assert.True(Frames.IsRight(Complete(sent, offload).Single()));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_large_send_is_passed_on_or_cut(bool accepts)
    {
        using var bus = new NetBus(port: new HeldPort { AcceptsLargeSegments = accepts });
        NetVsc vsc = bus.Open();
        byte[] whole = Frames.Tcp(40_000);
        byte[] frame = (byte[])whole.Clone();
        // netvsc_xmit: no length, no header checksum, the pseudo header's sum without the length.
        frame.AsSpan(16, 2).Clear();
        frame.AsSpan(24, 2).Clear();
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(50), (ushort)(Frames.Pseudo(frame.AsSpan(14), 6) - 40_020));
        Assert.Equal(1u, vsc.Send(NetVsc.Packet(frame, (NetVsc.LargeSendInfo, 1460 | (34u << 20) | (1u << 30)))));
        byte[][] segments = accepts
            ? [.. Complete(Assert.Single(bus.Port.Sent).Frame, bus.Port.Sent.Single().Offload)]
            : [.. bus.Port.Sent.Select(s => s.Frame)];
        Assert.Equal((40_000 + 1459) / 1460, segments.Length);
        Assert.All(segments, s => Assert.True(Frames.IsRight(s)));
        Assert.Equal(whole[Frames.HeaderBytes..], segments.SelectMany(s => s[Frames.HeaderBytes..]));
        Assert.Equal(1, bus.Statistics["network.nic0.tx_large"].Value);
    }

    [Fact]
    public void A_VLAN_tag_travels_beside_the_frame_in_the_guest_and_inside_it_on_the_wire()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        byte[] frame = Frames.Tcp(50);
        // Priority 5, VLAN 0x123.
        Assert.Equal(1u, vsc.Send(NetVsc.Packet(frame, (NetVsc.VlanInfo, 5 | (0x123 << 4)))));
        byte[] tagged = Assert.Single(bus.Port.Sent).Frame;
        Assert.Equal([.. frame[..12], 0x81, 0, 0xA1, 0x23, .. frame[12..]], tagged);

        Assert.True(bus.Port.Card!.Receive(tagged, default));
        ReceivedFrame received = vsc.Receive();
        Assert.Equal(frame, received.Data);
        Assert.Equal(5u | (0x123 << 4), received.Infos[NetVsc.VlanInfo]);
        Assert.Equal(0x28u, received.Infos[NetVsc.ChecksumInfo]);
    }

    [Theory]
    [InlineData(0, 0x28u)]
    [InlineData(60, 0x21u)]
    [InlineData(20, 0xCu)]
    public void Received_checksums_are_judged(int broken, uint expected)
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        byte[] frame = Frames.Tcp(50);
        if (broken == 20)
        {
            // The identification: only the header's sum covers it.
            frame[18] ^= 1;
        }
        else if (broken != 0)
        {
            frame[broken] ^= 1;
        }

        Assert.True(bus.Port.Card!.Receive(frame, default));
        Assert.Equal(expected, vsc.Receive().Infos[NetVsc.ChecksumInfo]);
    }

    [Fact]
    public void A_missing_checksum_is_filled_in_before_the_guest_sees_it()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        byte[] frame = Frames.Tcp(77);
        Assert.True(bus.Port.Card!.Receive(WithPseudoSum(frame), new FrameOffload(0, 34, 16)));
        ReceivedFrame received = vsc.Receive();
        Assert.Equal(frame, received.Data);
        Assert.Equal(0x28u, received.Infos[NetVsc.ChecksumInfo]);
    }

    [Fact]
    public void A_large_segment_comes_in_one_piece_when_the_guest_coalesces_and_cut_otherwise()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        byte[] frame = Frames.Tcp(30_000);
        var offload = new FrameOffload(1448, 34, 16);
        Assert.True(bus.Port.Card!.Receive(WithPseudoSum(frame), offload));
        var received = new List<byte>();
        int count = 0;
        while (received.Count < 30_000)
        {
            byte[] segment = vsc.Receive().Data;
            Assert.True(Frames.IsRight(segment));
            received.AddRange(segment[Frames.HeaderBytes..]);
            count++;
        }

        Assert.Equal(21, count);
        Assert.Equal(frame[Frames.HeaderBytes..], received);
        Assert.Equal(1, vsc.FramePackets);

        byte[] parameters = new byte[28];
        parameters[22] = parameters[23] = 2;
        Assert.Equal(Success, vsc.Set(0xFC01_020C, parameters));
        Assert.True(bus.Port.Card!.Receive(WithPseudoSum(frame), offload));
        ReceivedFrame coalesced = vsc.Receive();
        Assert.True(coalesced.Pieces > 15);
        Assert.Equal(frame[Frames.HeaderBytes..], coalesced.Data[Frames.HeaderBytes..]);
        Assert.Equal(0x28u, coalesced.Infos[NetVsc.ChecksumInfo]);
        Assert.Equal(2, vsc.FramePackets);
    }

    [Fact]
    public void Segments_that_follow_each_other_come_in_one_piece()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        byte[] parameters = new byte[28];
        parameters[22] = parameters[23] = 2;
        Assert.Equal(Success, vsc.Set(0xFC01_020C, parameters));
        List<byte[]> segments = Complete(WithPseudoSum(Frames.Tcp(10_000)), new FrameOffload(1448, 34, 16));
        byte[] other = Frames.Tcp(500, port: 77);
        foreach (byte[] segment in segments[..3])
        {
            Assert.True(bus.Port.Card!.Receive(segment, default, more: true));
        }

        Assert.Null(vsc.TryReceive());
        // Another connection's frame ends what is held, and one that nothing follows goes at once.
        Assert.True(bus.Port.Card!.Receive(other, default, more: true));
        ReceivedFrame first = vsc.Receive();
        Assert.Equal(segments[..3].SelectMany(s => s[Frames.HeaderBytes..]), first.Data[Frames.HeaderBytes..]);
        Assert.Equal(Frames.HeaderBytes + (3 * 1448) - 14, BinaryPrimitives.ReadUInt16BigEndian(first.Data.AsSpan(16)));
        Assert.Equal(0, Frames.Checksum(first.Data.AsSpan(14, 20), 0));
        Assert.Equal(0x28u, first.Infos[NetVsc.ChecksumInfo]);
        // A lost segment: what follows it is a packet of its own.
        Assert.True(bus.Port.Card!.Receive(segments[4], default, more: true));
        Assert.True(bus.Port.Card!.Receive(segments[5], default, more: false));
        Assert.Equal(other, vsc.Receive().Data);
        Assert.Equal([.. segments[4][Frames.HeaderBytes..], .. segments[5][Frames.HeaderBytes..]], vsc.Receive().Data[Frames.HeaderBytes..]);
        // A wrong checksum is not hidden.
        byte[] broken = (byte[])segments[1].Clone();
        broken[^1] ^= 1;
        Assert.True(bus.Port.Card!.Receive(segments[0], default, more: true));
        Assert.True(bus.Port.Card!.Receive(broken, default, more: false));
        Assert.Equal(segments[0], vsc.Receive().Data);
        ReceivedFrame bad = vsc.Receive();
        Assert.Equal(broken, bad.Data);
        Assert.Equal(0x21u, bad.Infos[NetVsc.ChecksumInfo]);
    }

    [Fact]
    public void Frames_for_others_do_not_reach_the_guest_unless_it_is_promiscuous()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        byte[] other = Frames.Plain(100, new MacAddress(0x0200_0000_0007));
        byte[] broadcast = Frames.Plain(101, new MacAddress(0xFFFF_FFFF_FFFF));
        byte[] multicast = Frames.Plain(102, new MacAddress(0x0100_5E00_0001));
        foreach (byte[] frame in (byte[][])[other, broadcast, multicast])
        {
            Assert.True(bus.Port.Card!.Receive(frame, default));
        }

        Assert.Equal(broadcast, vsc.Receive().Data);
        Assert.Equal(multicast, vsc.Receive().Data);
        Assert.Equal(Success, vsc.SetFilter(0x20));
        Assert.True(bus.Port.Card!.Receive(other, default));
        Assert.Equal(other, vsc.Receive().Data);
        Assert.Equal(Success, vsc.SetFilter(0));
        Assert.True(bus.Port.Card!.Receive(broadcast, default));
        Assert.Null(vsc.TryReceive());
    }

    [Fact]
    public void The_guest_can_give_itself_another_address()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        byte[] name = System.Text.Encoding.Unicode.GetBytes("NetworkAddress");
        byte[] value = System.Text.Encoding.Unicode.GetBytes("0200000000aa");
        byte[] parameter = [.. Words(20, (uint)name.Length, 2, 20 + (uint)name.Length, (uint)value.Length), .. name, .. value];
        Assert.Equal(Success, vsc.Set(0x0001_021B, parameter));
        byte[] frame = Frames.Plain(100, new MacAddress(0x0200_0000_00AA));
        Assert.True(bus.Port.Card!.Receive(frame, default));
        Assert.Equal(frame, vsc.Receive().Data);
    }

    [Fact]
    public void A_guest_that_completes_nothing_stops_the_port_and_completions_start_it_again()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open(receivePages: 8);
        vsc.HoldCompletions = true;
        byte[] frame = Frames.Tcp(100);
        int accepted = 0;
        while (bus.Port.Card!.Receive(frame, default))
        {
            accepted++;
        }

        // Some sections stay for answers to control messages.
        Assert.InRange(accepted, vsc.SectionCount - 8, vsc.SectionCount - 1);
        for (int i = 0; i < accepted; i++)
        {
            Assert.Equal(frame, vsc.Receive().Data);
        }

        Assert.Equal(1500u, Number(vsc, 0x0001_0106));
        int ready = Volatile.Read(ref bus.Port.Ready);
        Assert.False(bus.Port.Card!.Receive(frame, default));
        vsc.ReleaseHeld();
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref bus.Port.Ready) > ready, vsc.Timeout));
        Assert.True(bus.Port.Card!.Receive(frame, default));
    }

    [Fact]
    public void A_full_ring_stops_the_port_until_the_guest_reads()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.OpenOnly(16, 2);
        Assert.True(vsc.Initialize());
        Assert.Equal(Success, vsc.SetFilter());
        byte[] frame = Frames.Tcp(100);
        int accepted = 0;
        while (bus.Port.Card!.Receive(frame, default))
        {
            accepted++;
        }

        Assert.InRange(accepted, 4096 / 80, 4096 / 48);
        for (int i = 0; i < accepted; i++)
        {
            Assert.Equal(frame, vsc.Receive().Data);
        }

        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref bus.Port.Ready) > 0, vsc.Timeout));
    }

    [Fact]
    public void Completions_that_do_not_fit_are_sent_later_and_no_frame_twice()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.OpenOnly(64, 2);
        Assert.True(vsc.Initialize());
        byte[] message = NetVsc.Packet(Frames.Plain(60));
        int sent = 0;
        while (sent < 600 && vsc.TrySend((ulong)(1000 + sent), message, message.Length))
        {
            sent++;
        }

        ulong next = 1000;
        while (next < 1000 + (ulong)sent)
        {
            // The completion of the control message before them comes first.
            ulong transaction = vsc.Primary.Receive(vsc.Timeout).Descriptor.TransactionId;
            Assert.True(transaction == next || next == 1000);
            next += transaction == next ? 1u : 0u;
        }

        Assert.Equal(sent, bus.Port.Sent.Count);
    }

    [Fact]
    public void Frames_spread_over_channels_by_their_flow()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        Assert.Equal(3, vsc.AddSubchannels(3));
        Assert.Equal(Success, vsc.Query(0x0001_0203, new byte[18], out byte[] capabilities));
        Assert.Equal(4u, BinaryPrimitives.ReadUInt32LittleEndian(capabilities.AsSpan(12)));
        Assert.Equal(128, BinaryPrimitives.ReadUInt16LittleEndian(capabilities.AsSpan(16)));
        Assert.Equal(Success, vsc.Set(0x0001_0204, ScaleParameters(128, 4)));
        var channelOf = new Dictionary<int, int>();
        for (int i = 0; i < 64; i++)
        {
            ushort port = (ushort)(1000 + (i % 32));
            byte[] frame = Frames.Tcp(20, port);
            Assert.True(bus.Port.Card!.Receive(frame, default));
            ReceivedFrame received = vsc.Receive();
            Assert.Equal(frame, received.Data);
            uint hash = Toeplitz(s_key, [.. frame[26..34], .. frame[34..38]]);
            Assert.Equal(hash, received.Infos[NetVsc.HashInfo]);
            Assert.Equal((int)(hash & 127) % 4, received.Channel);
            Assert.Equal(received.Channel, channelOf.GetValueOrDefault(port, received.Channel));
            channelOf[port] = received.Channel;
        }

        Assert.Equal(4, channelOf.Values.Distinct().Count());
        Assert.Equal([0, 1, 2, 3], vsc.SendTable![..4].Select(c => (int)c));
        for (int channel = 0; channel < 4; channel++)
        {
            Assert.Equal(1u, vsc.Send(NetVsc.Packet(Frames.Plain(100)), channel: channel));
        }

        // A table that names a channel there is not.
        Assert.NotEqual(Success, vsc.Set(0x0001_0204, ScaleParameters(128, 5)));
        Assert.NotEqual(Success, vsc.Set(0x0001_0204, ScaleParameters(100, 4)));
        vsc.Close();
    }

    [Fact]
    public void Too_many_subchannels_are_refused()
    {
        using var bus = new NetBus(subchannels: 1);
        NetVsc vsc = bus.Open();
        Assert.Equal(-1, vsc.AddSubchannels(2));
        Assert.Equal(1, vsc.AddSubchannels(1));
    }

    [Fact]
    public void The_link_goes_down_and_up()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        bus.Vsp.SetLink(false);
        Assert.Equal(1u, Number(vsc, 0x0001_0114));
        Assert.Equal([0x4001_000Cu], vsc.Indications);
        Assert.Equal(1u, vsc.Send(NetVsc.Packet(Frames.Plain(100))));
        Assert.Empty(bus.Port.Sent);
        Assert.True(bus.Port.Card!.Receive(Frames.Tcp(10), default));
        bus.Vsp.SetLink(true);
        Assert.Equal(0u, Number(vsc, 0x0001_0114));
        Assert.Equal([0x4001_000Cu, 0x4001_000Bu], vsc.Indications);
        Assert.Null(vsc.TryReceive());
    }

    [Fact]
    public void A_paused_card_takes_nothing_and_asks_again_afterwards()
    {
        using var bus = new NetBus();
        NetVsc vsc = bus.Open();
        bus.Vsp.Pause();
        bus.Vsp.SetLink(false);
        bus.Vsp.SetLink(true);
        Assert.False(bus.Port.Card!.Receive(Frames.Tcp(10), default));
        Assert.Null(vsc.TryReceive());
        bus.Vsp.Resume();
        Assert.Equal(1, bus.Port.Ready);
        Assert.True(bus.Port.Card!.Receive(Frames.Tcp(10), default));
        Assert.Equal(Frames.Tcp(10), vsc.Receive().Data);
        Assert.Empty(vsc.Indications);
    }

    [Fact]
    public void The_driver_unloads_and_loads_ten_times_with_subchannels()
    {
        using var bus = new NetBus();
        for (int i = 0; i < 10; i++)
        {
            // As for a change of the MTU.
            NetVsc vsc = bus.Open(mtu: i % 2 == 0 ? 1500 : 9000);
            Assert.Equal(3, vsc.AddSubchannels(3));
            Assert.True(bus.Port.Card!.Receive(Frames.Tcp(100), default));
            Assert.Equal(Frames.Tcp(100), vsc.Receive().Data);
            Assert.Equal(1u, vsc.Send(NetVsc.Packet(Frames.Plain(100)), channel: 3));
            vsc.Halt();
            vsc.RevokeReceiveBuffer();
            vsc.Close();
            Assert.True(bus.Port.Card!.Receive(Frames.Tcp(100), default));
            Assert.False(bus.Vsp.IsRunning);
        }

        Assert.Equal(10, bus.Port.Sent.Count);
    }

    [Fact]
    public void Frames_cost_no_allocation()
    {
        using var bus = new NetBus(port: new HeldPort { Discards = true });
        NetVsc vsc = bus.Open();
        vsc.HoldCompletions = true;
        byte[] frame = Frames.Tcp(500);
        Assert.True(bus.Port.Card!.Receive(frame, default));
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 50; i++)
        {
            Assert.True(bus.Port.Card!.Receive(frame, default));
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    private static uint Number(NetVsc vsc, uint oid)
    {
        Assert.Equal(Success, vsc.Query(oid, default, out byte[] data));
        return BinaryPrimitives.ReadUInt32LittleEndian(data);
    }

    private static byte[] Words(params uint[] words) => [.. words.SelectMany(BitConverter.GetBytes)];

    private static byte[] OffloadQuery(byte revision, int bytes)
    {
        byte[] query = new byte[bytes];
        (query[0], query[1], query[2]) = (0xA7, revision, (byte)bytes);
        return query;
    }

    private static byte[] Pad(byte[] message)
    {
        byte[] padded = new byte[(message.Length + 7) & ~7];
        message.CopyTo(padded, 0);
        BinaryPrimitives.WriteInt32LittleEndian(padded.AsSpan(4), padded.Length);
        return padded;
    }

    // What CHECKSUM_PARTIAL leaves in the field.
    private static byte[] WithPseudoSum(byte[] frame)
    {
        byte[] copy = (byte[])frame.Clone();
        BinaryPrimitives.WriteUInt16BigEndian(copy.AsSpan(50), (ushort)Frames.Pseudo(copy.AsSpan(14), 6));
        return copy;
    }

    private static List<byte[]> Complete(byte[] frame, FrameOffload offload)
    {
        var frames = new List<byte[]>();
        byte[] buffer = new byte[FrameCompletion.MaximumFrameBytes];
        int position = 0;
        while (FrameCompletion.Next(frame, offload, ref position, buffer) is > 0 and int bytes)
        {
            frames.Add(buffer[..bytes]);
        }

        return frames;
    }

    // struct ndis_recv_scale_param.
    private static byte[] ScaleParameters(int entries, int channels)
    {
        byte[] parameters = new byte[36 + (entries * 4) + 40];
        parameters[0] = 0x89;
        parameters[1] = 2;
        BinaryPrimitives.WriteUInt16LittleEndian(parameters.AsSpan(12), (ushort)(entries * 4));
        BinaryPrimitives.WriteUInt32LittleEndian(parameters.AsSpan(14), 36);
        BinaryPrimitives.WriteUInt16LittleEndian(parameters.AsSpan(18), 40);
        BinaryPrimitives.WriteUInt32LittleEndian(parameters.AsSpan(20), (uint)(36 + (entries * 4)));
        for (int i = 0; i < entries; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(parameters.AsSpan(36 + (i * 4)), i % channels);
        }

        s_key.CopyTo(parameters, 36 + (entries * 4));
        return parameters;
    }

    // Microsoft's description of the hash, bit by bit.
    private static uint Toeplitz(byte[] key, byte[] input)
    {
        uint result = 0;
        for (int bit = 0; bit < input.Length * 8; bit++)
        {
            if ((input[bit / 8] & (0x80 >> (bit % 8))) != 0)
            {
                uint window = 0;
                for (int i = 0; i < 32; i++)
                {
                    int at = bit + i;
                    window = (window << 1) | (uint)((key[at / 8] >> (7 - (at % 8))) & 1);
                }

                result ^= window;
            }
        }

        return result;
    }
}

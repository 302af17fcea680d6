// The card on a bus of its own, driven register by register as a driver would, and by a driver that writes garbage.
using System.Buffers.Binary;
using System.Collections.Concurrent;
using Sharpvisor.Core;
using Sharpvisor.Devices.Nic;
using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class Dec21140Tests : IDisposable
{
    private const uint ReceiveList = 0x1000;
    private const uint TransmitList = 0x2000;
    private const uint Buffers = 0x10000;
    private const uint Owned = 0x8000_0000;
    private const uint Whole = 0x6000_0000;
    private static readonly MacAddress s_address = new(0x0015_5D01_0203);
    private readonly GuestMemory _memory = new(4 << 20);
    private readonly ManualTimers _timers = new();
    private readonly Statistics _statistics = new();
    private readonly Wire _port = new();
    private readonly Dec21140 _card;

    public Dec21140Tests()
    {
        _card = new Dec21140(Dec21140.FirstSlot, _memory, _timers, _port, s_address, _statistics, 0);
        _card.WriteConfig(4, 2, 7);
    }

    public void Dispose()
    {
        _card.Dispose();
        _port.Dispose();
        _memory.Dispose();
    }

    [Fact]
    public void The_serial_ROM_has_the_address_and_a_right_checksum()
    {
        byte[] rom = new byte[128];
        for (int i = 0; i < 64; i++)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(rom.AsSpan(2 * i), ReadRom(i));
        }

        Assert.Equal(s_address, MacAddress.Read(rom.AsSpan(20)));

        // The low half of the CRC that IEEE 802.3 uses (its check value, over "123456789", is 0xCBF43926).
        Assert.Equal(0xCBF4_3926, ~Dec21140Filter.Crc("123456789"u8));
        Assert.Equal((ushort)~Dec21140Filter.Crc(rom.AsSpan(0, 126)), BinaryPrimitives.ReadUInt16LittleEndian(rom.AsSpan(126)));
    }

    [Theory]
    [InlineData(1, 1, 0x782D)]
    [InlineData(1, 2, 0x2000)]
    [InlineData(2, 1, 0xFFFF)]
    [InlineData(0, 1, 0xFFFF)]
    public void A_PHY_answers_at_its_address_only(int phy, int register, int value) => Assert.Equal(value, ReadMii(phy, register));

    [Fact]
    public void A_PHY_register_keeps_what_is_written()
    {
        WriteMii(1, 4, 0x0041);
        WriteMii(2, 4, 0x0081);
        Assert.Equal(0x0041, ReadMii(1, 4));
    }

    [Fact]
    public void A_frame_in_two_buffers_and_two_descriptors_is_sent_whole_and_the_descriptors_come_back()
    {
        byte[] frame = Frame(200);
        Assert.True(_memory.TryWrite(Buffers, frame));
        Describe(TransmitList, Owned, 0x2000_0000 | (50 << 11) | 30, Buffers, Buffers + 30);
        Describe(TransmitList + 16, Owned, 0xC000_0000 | 0x0200_0000 | 120, Buffers + 80, 0);
        Start();
        Write(1, 0);

        Assert.Equal(frame, _port.Take());
        Assert.True(SpinWait.SpinUntil(() => (Read(5) & 5) == 5, TimeSpan.FromSeconds(20)));
        Assert.Equal(0u, ReadWord(TransmitList));
        Assert.Equal(0u, ReadWord(TransmitList + 16));
        Assert.Equal(6u, Read(5) >> 20 & 7);
    }

    [Fact]
    public void Chained_descriptors_are_followed()
    {
        byte[] frame = Frame(100);
        Assert.True(_memory.TryWrite(Buffers, frame));
        Describe(TransmitList, Owned, Whole | 0x0100_0000 | 100, Buffers, TransmitList + 0x100);
        Describe(TransmitList + 0x100, Owned, Whole | 0x0100_0000 | 100, Buffers, TransmitList);
        Start();
        Write(1, 0);

        Assert.Equal(frame, _port.Take());
        Assert.Equal(frame, _port.Take());
    }

    [Fact]
    public void Frames_pass_the_perfect_filter_only()
    {
        Start();
        LoadPerfectFilter();
        ReceiveRing(4);

        Assert.True(_card.Receive(To(0x0202_0202_0202), default));
        Assert.Equal(Owned, ReadWord(ReceiveList));
        Assert.True(_card.Receive(To(s_address.Value), default));
        Assert.True(_card.Receive(To(0xFFFF_FFFF_FFFF), default));

        // Whole frame, its length with the FCS; the second one is multicast.
        Assert.Equal(0x0040_0320u, ReadWord(ReceiveList));
        Assert.Equal(0x0040_0720u, ReadWord(ReceiveList + 16));
        Assert.Equal(Owned, ReadWord(ReceiveList + 32));
        Assert.Equal(0x40u, Read(5) & 0x40);
    }

    [Fact]
    public void Without_a_descriptor_a_frame_is_refused_until_the_driver_shows_that_there_is_one()
    {
        Start(promiscuous: true);
        ReceiveRing(1);
        Assert.True(_card.Receive(To(s_address.Value), default));
        Assert.False(_card.Receive(To(s_address.Value), default));
        Assert.Equal(0x80u, Read(5) & 0x80);
        Assert.Equal(4u, Read(5) >> 17 & 7);
        Assert.Equal(0, _port.ReadyCount);

        Assert.True(_memory.TryWrite(ReceiveList, Owned));
        Write(5, 0x80);
        Assert.True(_port.ReadyCount > 0);
        Assert.True(_card.Receive(To(s_address.Value), default));
    }

    [Fact]
    public void A_driver_that_touches_no_register_gets_its_frames_as_well()
    {
        Start(promiscuous: true);
        ReceiveRing(1);
        Assert.True(_card.Receive(To(s_address.Value), default));
        Assert.False(_card.Receive(To(s_address.Value), default));
        Assert.True(_memory.TryWrite(ReceiveList, Owned));

        Assert.True(SpinWait.SpinUntil(() => _port.ReadyCount > 0, TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public void A_large_segment_arrives_in_pieces_of_the_wire_s_size()
    {
        Start(promiscuous: true);
        ReceiveRing(8);
        byte[] frame = new byte[54 + 4000];
        To(s_address.Value).CopyTo(frame, 0);
        (frame[12], frame[13], frame[14], frame[46]) = (8, 0, 0x45, 0x50);
        Assert.True(_card.Receive(frame, new FrameOffload(1460, 34, 16)));

        Assert.Equal(1518u, ReadWord(ReceiveList) >> 16 & 0x3FFF);
        Assert.Equal(1518u, ReadWord(ReceiveList + 16) >> 16 & 0x3FFF);
        Assert.Equal(54u + 1080 + 4, ReadWord(ReceiveList + 32) >> 16 & 0x3FFF);
        Assert.Equal(Owned, ReadWord(ReceiveList + 48));
    }

    [Fact]
    public void Loopback_brings_a_frame_back_and_sends_nothing()
    {
        byte[] frame = Frame(64);
        Assert.True(_memory.TryWrite(Buffers, frame));
        Start(promiscuous: true, mode: 1 << 10);
        ReceiveRing(2);
        Describe(TransmitList, Owned, Whole | 64, Buffers, 0);
        Write(1, 0);

        Assert.True(SpinWait.SpinUntil(() => ReadWord(ReceiveList) != Owned, TimeSpan.FromSeconds(20)));
        Assert.True(_port.IsEmpty);
    }

    [Fact]
    public void A_list_outside_of_memory_stops_the_card_until_a_reset()
    {
        Start();
        Write(4, 0x9000_0000);
        Write(1, 0);
        Assert.True(SpinWait.SpinUntil(() => (Read(5) & 0x2000) != 0, TimeSpan.FromSeconds(20)));
        Assert.Equal(0u, Read(5) >> 17 & 0x3F);

        Write(0, 1);
        Assert.Equal(0xFC00_0000u, Read(5));
    }

    [Fact]
    public void The_timer_counts_and_repeats()
    {
        Write(11, 0x1_0002);
        _timers.Advance(2 * 81_920);
        Assert.Equal(0x800u, Read(5) & 0x800);
        Write(5, 0x800);
        _timers.Advance(2 * 81_920);
        Assert.Equal(0x800u, Read(5) & 0x800);
    }

    [Fact]
    public void A_paused_card_touches_no_memory()
    {
        Start(promiscuous: true);
        ReceiveRing(2);
        _card.Pause();
        Assert.False(_card.Receive(To(s_address.Value), default));
        Assert.Equal(Owned, ReadWord(ReceiveList));
        _card.Resume();
        Assert.True(_port.ReadyCount > 0);
        Assert.True(_card.Receive(To(s_address.Value), default));
    }

    [Theory]
    [InlineData(51)]
    [InlineData(52)]
    public void Random_registers_and_descriptors_never_upset_the_card(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 30_000; i++)
        {
            switch (random.Next(6))
            {
                case 0:
                    Describe((uint)random.Next(0, 0x4000) & ~3u, Noise(random), Noise(random), Noise(random), Noise(random));
                    break;
                case 1:
                    _ = _card.Receive(Frame(random.Next(0, 3000)), random.Next(4) == 0 ? new FrameOffload((ushort)random.Next(2000), (ushort)random.Next(200), 16) : default);
                    break;
                case 2:
                    _ = _card.ReadMmio((ulong)random.Next(128), 4);
                    break;
                default:
                    Write(random.Next(16), random.Next(3) == 0 ? Noise(random) : (uint)random.Next(0, 0x4000));
                    break;
            }
        }

        // After a reset it works; what noise left in the transmit list would stop it again, at a time of the transmitter's choosing.
        Write(0, 1);
        Describe(TransmitList, 0, 0, 0, 0);
        Start(promiscuous: true);
        ReceiveRing(1);
        Assert.True(_card.Receive(To(s_address.Value), default));
        Assert.NotEqual(Owned, ReadWord(ReceiveList));
    }

    private static uint Noise(Random random) => random.Next(3) switch
    {
        0 => (uint)random.NextInt64(),
        1 => (uint)random.Next(0, 0x4000),
        _ => Owned | (uint)random.Next(),
    };

    private static byte[] Frame(int bytes)
    {
        byte[] frame = new byte[bytes];
        new Random(bytes).NextBytes(frame);
        return frame;
    }

    private static byte[] To(ulong address)
    {
        byte[] frame = Frame(60);
        new MacAddress(address).CopyTo(frame);
        (frame[12], frame[13]) = (8, 0);
        return frame;
    }

    private void Start(bool promiscuous = false, uint mode = 0)
    {
        Write(3, ReceiveList);
        Write(4, TransmitList);
        Write(6, 0x2002 | mode | (promiscuous ? 0x40u : 0));
    }

    private void ReceiveRing(int count)
    {
        for (uint i = 0; i < count; i++)
        {
            Describe(ReceiveList + (16 * i), Owned, 1536 | (i == count - 1 ? 0x0200_0000u : 0), Buffers + 0x10000 + (i * 2048), 0);
        }
    }

    private void LoadPerfectFilter()
    {
        byte[] setup = new byte[192];
        Span<byte> address = stackalloc byte[6];
        for (int i = 0; i < 16; i++)
        {
            new MacAddress(i == 15 ? s_address.Value : 0xFFFF_FFFF_FFFF).CopyTo(address);
            for (int half = 0; half < 3; half++)
            {
                address.Slice(2 * half, 2).CopyTo(setup.AsSpan((12 * i) + (4 * half)));
            }
        }

        Assert.True(_memory.TryWrite(Buffers, setup));
        Describe(TransmitList, Owned, 0x0800_0000 | 192, Buffers, 0);
        Write(1, 0);
        Assert.True(SpinWait.SpinUntil(() => ReadWord(TransmitList) == 0, TimeSpan.FromSeconds(20)));
    }

    private void Describe(uint at, uint status, uint control, uint buffer1, uint buffer2)
    {
        Assert.True(_memory.TryWrite(at + 4, control));
        Assert.True(_memory.TryWrite(at + 8, buffer1));
        Assert.True(_memory.TryWrite(at + 12, buffer2));
        Assert.True(_memory.TryWrite(at, status));
    }

    private uint ReadWord(uint gpa)
    {
        Assert.True(_memory.TryRead(gpa, out uint value));
        return value;
    }

    private uint Read(int register) => _card.ReadPort((ushort)(8 * register), 4);

    private void Write(int register, uint value) => _card.WritePort((ushort)(8 * register), 4, value);

    // As tulip_read_eeprom (drivers/net/ethernet/dec/tulip/eeprom.c) clocks it.
    private ushort ReadRom(int address)
    {
        const uint Enable = 0x4801;
        Write(9, 0x4800);
        Write(9, Enable);
        for (int i = 8; i >= 0; i--)
        {
            uint data = (uint)((6 << 6) | address) >> i & 1;
            Write(9, Enable | (data << 2));
            Write(9, Enable | (data << 2) | 2);
        }

        Write(9, Enable);
        uint value = 0;
        for (int i = 0; i < 16; i++)
        {
            Write(9, Enable | 2);
            value = (value << 1) | (Read(9) >> 3 & 1);
            Write(9, Enable);
        }

        return (ushort)value;
    }

    // As tulip_mdio_read (media.c) clocks it.
    private int ReadMii(int phy, int register)
    {
        Clock(uint.MaxValue, 32);
        Clock((uint)((0b0110 << 10) | (phy << 5) | register), 14);
        uint value = 0;
        for (int i = 0; i < 19; i++)
        {
            Write(9, 0x4_0000);
            value = (value << 1) | (Read(9) >> 19 & 1);
            Write(9, 0x5_0000);
        }

        return (int)(value >> 1 & 0xFFFF);
    }

    private void WriteMii(uint phy, uint register, uint value)
    {
        Clock(uint.MaxValue, 32);
        Clock(0x5002_0000 | (phy << 23) | (register << 18) | value, 32);
        Write(9, 0x4_0000);
        Write(9, 0x5_0000);
    }

    private void Clock(uint bits, int count)
    {
        for (int i = count - 1; i >= 0; i--)
        {
            uint data = (bits >> i & 1) << 17;
            Write(9, data);
            Write(9, data | 0x1_0000);
        }
    }

    /// <summary>Keeps what is sent.</summary>
    private sealed class Wire : INetworkPort
    {
        private readonly BlockingCollection<byte[]> _sent = [];
        private int _ready;

        public int MaximumFrameBytes => 1518;

        public bool AcceptsLargeSegments => false;

        public bool IsEmpty => _sent.Count == 0;

        public int ReadyCount => Volatile.Read(ref _ready);

        public void Connect(INetworkCard card)
        {
        }

        public void Send(ReadOnlySpan<byte> frame, FrameOffload offload)
        {
            if (_sent.Count < 1000)
            {
                _sent.Add(frame.ToArray());
            }
        }

        public void ReceiveReady() => Interlocked.Increment(ref _ready);

        public byte[] Take() =>
            _sent.TryTake(out byte[]? frame, TimeSpan.FromSeconds(20)) ? frame : throw new TimeoutException("nothing was sent");

        public void Dispose() => _sent.Dispose();
    }
}

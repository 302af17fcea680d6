// The vPCI VSP against the C# guest end: versions, what is on the bus, power, interrupts, ejection, and garbage.
using System.Buffers.Binary;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;
using Sharpvisor.Vsc;
using Sharpvisor.Vsc.Pci;
using Sharpvisor.Vsp.Pci;
using Xunit;

namespace Sharpvisor.Vsp.Tests;

public sealed class PciTests : IDeviceBus, IInterruptRedirection, IDisposable
{
    private const ulong Window = 0xFC00_0000;
    private readonly GuestMemory _memory = new(32 << 20);
    private readonly Dictionary<ulong, IMmioDevice> _mmio = [];
    private readonly Dictionary<uint, (byte Vector, ulong Processors)> _interrupts = [];
    private readonly List<MsiMessage> _delivered = [];
    private readonly FakeFunction _function = new();
    private readonly PciVsp _vsp;
    private readonly VmbusServer _server;
    private readonly VmbusClient _client;
    private OfferChannelMessage _offer;

    public PciTests()
    {
        var synic = new LoopbackSynic();
        _vsp = new PciVsp(_function, 3, this, this);
        _server = new VmbusServer(_memory, synic, new Statistics());
        _client = new VmbusClient(_memory, synic, 4 << 20, 16 << 20);
        Assert.True(_server.Offer(_vsp));
        Assert.True(_client.Connect());
        _offer = Assert.Single(_client.RequestOffers());
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _server.Dispose();
        _memory.Dispose();
    }

    [Fact]
    public void Versions_are_tried_until_one_is_known()
    {
        PciVsc guest = Open();
        Assert.Equal(0xC000_0059u, guest.QueryVersion(0x1_0005));
        foreach (uint version in (uint[])[0x1_0004, 0x1_0003, 0x1_0002, 0x1_0001])
        {
            Assert.Equal(0u, guest.QueryVersion(version));
        }
    }

    [Theory]
    [InlineData(0x1_0001u, 0u, 28)]
    [InlineData(0x1_0003u, 0u, 28)]
    [InlineData(0x1_0004u, 0x19u, 36)]
    public void The_bus_has_one_function(uint version, uint type, int bytes)
    {
        PciVsc guest = Open();
        Assert.Equal(0u, guest.QueryVersion(version));
        byte[] relations = guest.QueryRelations();
        Assert.Equal((0x4249_0000u + type, 1u), (Word(relations, 0), Word(relations, 4)));
        Assert.Equal((0x00A9_1414u, 0x0108_0200u, 0xABCD_1414u, 0u, 4u), (Word(relations, 8), Word(relations, 12), Word(relations, 16), Word(relations, 20), Word(relations, 24)));
        Assert.InRange(relations.Length, bytes, bytes + 7);
        Assert.Equal((0u, 0xFFFF_C000u, 0u), (Word(guest.QueryRequirements(), 0), Word(guest.QueryRequirements(), 4), Word(guest.QueryRequirements(), 8)));
        Assert.NotEqual(0u, Word(guest.QueryRequirements(slot: 1), 0));
    }

    [Fact]
    public void The_configuration_window_shows_the_function_in_slot_0_while_in_D0()
    {
        PciVsc guest = Negotiated();
        Assert.NotEqual(0u, guest.AssignResources());
        Assert.NotEqual(0u, guest.EnterD0(0x1000));
        Assert.NotEqual(0u, guest.EnterD0(Window + 4));
        Assert.NotEqual(0u, guest.EnterD0(0x1F_FFFF_FFFF_F000));
        Assert.Empty(_mmio);
        Assert.Equal(0u, guest.EnterD0(Window));
        Assert.NotEqual(0u, guest.EnterD0(Window));
        Assert.Equal(0u, guest.AssignResources());
        IMmioDevice window = _mmio[Window];
        Assert.Equal(0x00A9_1414UL, window.ReadMmio(0x1000, 4));
        Assert.Equal(0x14UL, window.ReadMmio(0x1000, 1));
        window.WriteMmio(0x1040, 2, 0x1234);
        Assert.Equal(0x1234u, _function.ReadConfig(0x40, 2));
        window.WriteMmio(0, 4, 1);
        Assert.Equal((0xFFFFUL, 1UL), (window.ReadMmio(0x1000, 2), window.ReadMmio(0, 4)));
        window.WriteMmio(0x1040, 2, 0x5678);
        Assert.Equal(0x1234u, _function.ReadConfig(0x40, 2));
        Assert.Equal(0, _function.PowerOffs);
        Assert.Equal(0u, guest.ExitD0());
        Assert.Empty(_mmio);
        Assert.Equal(1, _function.PowerOffs);
    }

    [Theory]
    [InlineData(1, 0x1_0001u)]
    [InlineData(2, 0x1_0002u)]
    [InlineData(3, 0x1_0004u)]
    public void Interrupts_are_mapped_delivered_and_unmapped(int form, uint version)
    {
        PciVsc guest = Open();
        Assert.Equal(0u, guest.QueryVersion(version));
        Assert.NotEqual(0u, PciVsc.Status(guest.CreateInterrupt(form, 0x41, 1, 2)));
        Assert.Equal(0u, guest.EnterD0(Window));
        Assert.NotEqual(0u, PciVsc.Status(guest.CreateInterrupt(form, 0x41, 2, 0)));
        Assert.NotEqual(0u, PciVsc.Status(guest.CreateInterrupt(form, 0x05, 1, 0)));
        byte[] answer = guest.CreateInterrupt(form, 0x41, 1, 2);
        Assert.Equal((0u, 24), (PciVsc.Status(answer), answer.Length));
        uint data = Word(answer, 12);
        ulong address = BinaryPrimitives.ReadUInt64LittleEndian(answer.AsSpan(16));
        Assert.Equal((0x41, 4UL), (_interrupts[data].Vector, _interrupts[data].Processors));
        _function.Interrupt!(new MsiMessage(address, data));
        Assert.Equal(new MsiMessage(address, data), Assert.Single(_delivered));
        guest.DeleteInterrupt(data, address);
        Assert.True(SpinWait.SpinUntil(() => _interrupts.Count == 0, TimeSpan.FromSeconds(20)));
        _ = guest.CreateInterrupt(form, 0x42, 1, 0);
        _client.Close(guest.Channel);
        Assert.Empty(_interrupts);
        Assert.Empty(_mmio);
    }

    [Fact]
    public async Task An_ejected_function_is_gone_when_the_guest_says_so()
    {
        Assert.True(await _vsp.EjectAsync(TimeSpan.Zero));
        PciVsc guest = Negotiated();
        Assert.Equal(0u, guest.EnterD0(Window));
        Task<bool> ejecting = _vsp.EjectAsync(TimeSpan.FromMinutes(1));
        byte[] message = guest.NextMessage();
        Assert.Equal((0x4249_000Bu, 0u), (Word(message, 0), Word(message, 4)));
        Assert.False(ejecting.IsCompleted);
        guest.CompleteEjection();
        Assert.True(await ejecting);
        Assert.Equal(0u, Word(guest.QueryRelations(), 4));
        Assert.NotEqual(0u, Word(guest.QueryRequirements(), 0));
    }

    [Fact]
    public async Task A_guest_that_does_not_eject_or_goes_away_does_not_keep_the_function()
    {
        PciVsc guest = Negotiated();
        Assert.Equal(0u, guest.EnterD0(Window));
        Assert.False(await _vsp.EjectAsync(TimeSpan.FromMilliseconds(10)));
        Task<bool> ejecting = _vsp.EjectAsync(TimeSpan.FromMinutes(1));
        _client.Close(guest.Channel);
        Assert.True(await ejecting.WaitAsync(TimeSpan.FromSeconds(20), Cancellation));
        Assert.Equal(1, _function.PowerOffs);
        // And a new driver finds everything as it was.
        guest = Negotiated();
        Assert.Equal(0u, guest.EnterD0(Window));
    }

    [Fact]
    public void Garbage_is_survived()
    {
        PciVsc guest = Negotiated();
        var random = new Random(9);
        for (int i = 0; i < 3000; i++)
        {
            byte[] message = new byte[random.Next(0, 120)];
            random.NextBytes(message);
            if (message.Length >= 8)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(message, 0x4249_0000u + (uint)random.Next(0x1E));
                BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), (uint)random.Next(2));
            }

            while (!guest.Channel.TrySendInBand((ulong)random.Next(3), message))
            {
                while (guest.Channel.TryReceive() is not null)
                {
                }

                Thread.Yield();
            }
        }

        _client.Close(guest.Channel);
        guest = Negotiated();
        Assert.Equal(0u, guest.EnterD0(Window));
    }

    void IDeviceBus.MapPorts(ushort first, int count, IPortDevice device)
    {
    }

    void IDeviceBus.UnmapPorts(ushort first, int count)
    {
    }

    void IDeviceBus.MapMmio(ulong gpa, ulong bytes, IMmioDevice device)
    {
        lock (_mmio)
        {
            _mmio.Add(gpa, device);
        }
    }

    void IDeviceBus.UnmapMmio(ulong gpa, ulong bytes)
    {
        lock (_mmio)
        {
            _mmio.Remove(gpa);
        }
    }

    bool IInterruptRedirection.TryMapInterrupt(ulong deviceId, byte vector, ulong processors, out MsiMessage message)
    {
        message = new MsiMessage(0xFEE0_0000, vector + 1000u);
        return vector >= 16 && deviceId == 0x5603_0010 && (_interrupts[message.Data] = (vector, processors)).Vector == vector;
    }

    void IInterruptRedirection.UnmapInterrupt(ulong deviceId, MsiMessage message) => _interrupts.Remove(message.Data);

    void IInterruptRedirection.UnmapInterrupts(ulong deviceId) => _interrupts.Clear();

    void IInterruptRedirection.DeliverInterrupt(ulong deviceId, MsiMessage message) => _delivered.Add(message);

    private static uint Word(byte[] bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(offset));

    private PciVsc Open()
    {
        GuestChannel? channel = _client.Open(_offer, 4, 4);
        Assert.NotNull(channel);
        return new PciVsc(channel);
    }

    private PciVsc Negotiated()
    {
        PciVsc guest = Open();
        Assert.Equal(0u, guest.QueryVersion(0x1_0004));
        return guest;
    }

    private sealed class FakeFunction : IPciEndpoint
    {
        private readonly byte[] _config = new byte[256];

        public FakeFunction()
        {
            BinaryPrimitives.WriteUInt32LittleEndian(_config, 0x00A9_1414);
            BinaryPrimitives.WriteUInt32LittleEndian(_config.AsSpan(8), 0x0108_0200);
            BinaryPrimitives.WriteUInt32LittleEndian(_config.AsSpan(0x2C), 0xABCD_1414);
        }

        public Action<MsiMessage>? Interrupt { get; private set; }

        public int PowerOffs { get; private set; }

        public void Connect(IDeviceBus bus, Action<MsiMessage> interrupt) => Interrupt = interrupt;

        public void PowerOff() => PowerOffs++;

        public uint ReadConfig(int offset, int bytes)
        {
            uint value = 0;
            for (int i = 0; i < bytes && offset + i < _config.Length; i++)
            {
                value |= (uint)_config[offset + i] << (8 * i);
            }

            return value;
        }

        public void WriteConfig(int offset, int bytes, uint value)
        {
            for (int i = 0; i < bytes && offset + i < _config.Length && offset >= 0x10; i++)
            {
                // One BAR of 16 KiB, and a register of two bytes.
                _config[offset + i] = offset switch
                {
                    0x10 => (byte)((value & 0xFFFF_C000) >> (8 * i)),
                    0x40 => (byte)(value >> (8 * i)),
                    _ => _config[offset + i],
                };
            }
        }
    }
}

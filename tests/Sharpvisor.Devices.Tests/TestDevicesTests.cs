using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class TestDevicesTests : IDisposable
{
    private readonly TestBoard _board = new();

    public TestDevicesTests() => _ = new TestDevices(_board.Bus, _board.Chipset.InterruptRouter);

    public void Dispose() => _board.Dispose();

    [Fact]
    public void Wire_ports_drive_IOAPIC_pins()
    {
        _board.WriteIoApic(0x10 + 28, 0x76);
        _board.WriteIoApic(0x10 + 40, 0x77);
        _board.Bus.Out(0x200E, 1);
        _board.Bus.Out(0x2014, 1);
        Assert.Equal([0x4076u, 0x4077u], _board.Apic.Messages.Select(m => m.Data));
    }

    [Fact]
    public void Latch_keeps_what_each_width_writes()
    {
        _board.Bus.Out(0xE0, 0x1234_5678, 4);
        _board.Bus.Out(0xE0, 0xAA);
        Assert.Equal(0x1234_56AAu, _board.Bus.In(0xE0, 4));
        Assert.Equal(0x1234u, _board.Bus.In(0xE2, 2));
    }

    [Fact]
    public void Memory_is_read_back_at_every_width()
    {
        _board.Bus.Write(0xFF00_0010, 0x1122_3344_5566_7788, 8);
        Assert.Equal(0x1122_3344u, _board.Bus.Read(0xFF00_0014, 4));
        Assert.Equal(0x88UL, _board.Bus.Read(0xFF00_0010, 1));
    }

    [Fact]
    public void A_message_connection_leads_back_to_the_SINT_it_names()
    {
        var synic = new RecordingSynic();
        _ = new HypervTestDevice(_board.Bus, synic, synic);
        _board.Bus.Out(0x3000, 0x1104_0108, 4);
        Assert.Equal(0, synic.Messages[0x11](7, [1, 2, 3]));
        Assert.Equal("message vp 1 sint 8 type 7 bytes 3", Assert.Single(synic.Log));
        _board.Bus.Out(0x3000, 0x1105_0108, 4);
        Assert.Empty(synic.Messages);
    }

    [Fact]
    public void An_event_connection_sets_the_flag_of_its_own_number()
    {
        var synic = new RecordingSynic();
        _ = new HypervTestDevice(_board.Bus, synic, synic);
        _board.Bus.Out(0x3000, 0x2106_0109, 4);
        synic.Events[0x21](0);
        Assert.Equal("event vp 1 sint 9 flag 33", Assert.Single(synic.Log));
    }

    [Fact]
    public void A_SINT_fires_on_the_VP_named()
    {
        var synic = new RecordingSynic();
        _ = new HypervTestDevice(_board.Bus, synic, synic);
        _board.Bus.Out(0x3000, 0x0003_0105, 4);
        Assert.Equal("assert vp 1 sint 5", Assert.Single(synic.Log));
    }

    private sealed class RecordingSynic : ISynicPorts, ISintWires
    {
        public Dictionary<uint, MessagePortHandler> Messages { get; } = [];

        public Dictionary<uint, Action<ushort>> Events { get; } = [];

        public List<string> Log { get; } = [];

        public void OpenMessagePort(uint connectionId, MessagePortHandler handler) => Messages[connectionId] = handler;

        public void OpenEventPort(uint connectionId, Action<ushort> handler) => Events[connectionId] = handler;

        public void ClosePort(uint connectionId)
        {
            Messages.Remove(connectionId);
            Events.Remove(connectionId);
        }

        public bool PostMessage(uint vpIndex, byte sint, uint messageType, ReadOnlySpan<byte> payload)
        {
            Log.Add($"message vp {vpIndex} sint {sint} type {messageType} bytes {payload.Length}");
            return true;
        }

        public bool SignalEvent(uint vpIndex, byte sint, ushort flag)
        {
            Log.Add($"event vp {vpIndex} sint {sint} flag {flag}");
            return true;
        }

        public void DiscardMessages(byte sint)
        {
        }

        public bool AssertSint(uint vpIndex, byte sint)
        {
            Log.Add($"assert vp {vpIndex} sint {sint}");
            return true;
        }
    }
}

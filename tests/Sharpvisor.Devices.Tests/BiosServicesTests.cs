using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class BiosServicesTests : IDisposable
{
    private readonly TestBoard _board = new();

    public BiosServicesTests() => _board.Chipset.RunFirmware();

    public void Dispose() => _board.Dispose();

    [Fact]
    public void Every_vector_leads_to_a_handler_that_returns()
    {
        for (uint vector = 0; vector < 256; vector++)
        {
            Assert.True(_board.Memory.TryRead(vector * 4, out uint pointer));
            Assert.True(_board.Memory.TryRead(((pointer >> 16) << 4) + (ushort)pointer, out byte first));
            Assert.Equal((vector & ~7) is 8 or 0x70 ? 0x50 : 0xCF, first);
        }
    }

    [Fact]
    public void The_timer_interrupts_through_vector_8()
    {
        _board.Timers.Advance(60_000_000);
        Assert.Equal(8, _board.Chipset.ExternalInterruptSource.AcknowledgeExternalInterrupt());
    }
}

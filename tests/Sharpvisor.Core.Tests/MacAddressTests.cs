using Xunit;

namespace Sharpvisor.Core.Tests;

public sealed class MacAddressTests
{
    [Theory]
    [InlineData("00:15:5d:01:02:fe", 0x0015_5D01_02FEUL)]
    [InlineData("02-00-00-00-00-01", 0x0200_0000_0001UL)]
    public void An_address_is_read_and_written_in_wire_order(string text, ulong value)
    {
        Assert.True(MacAddress.TryParse(text, out MacAddress address));
        Assert.Equal(value, address.Value);
        byte[] wire = new byte[MacAddress.Bytes];
        address.CopyTo(wire);
        Assert.Equal(Convert.FromHexString(text.Replace(":", "").Replace("-", "")), wire);
        Assert.Equal(address, MacAddress.Read(wire));
        Assert.Equal(text.Replace('-', ':'), address.ToString());
    }

    [Theory]
    [InlineData(null)]
    [InlineData("00:15:5d:01:02")]
    [InlineData("00:15:5d:01:02:03:04")]
    [InlineData("00:15:5d:01:02:3")]
    [InlineData("00:15:5d:01:02: 3")]
    [InlineData("00:00:00:00:00:00")]
    [InlineData("01:15:5d:01:02:03")]
    public void What_is_no_card_address_is_refused(string? text) => Assert.False(MacAddress.TryParse(text, out _));
}

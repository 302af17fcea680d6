// Sizes and offsets against include/linux/hyperv.h (Linux 6.1).
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus.Tests;

public sealed class ProtocolLayoutTests
{
    [Fact]
    public void Message_structures_have_the_sizes_of_the_headers()
    {
        Assert.Equal(8, Unsafe.SizeOf<MessageHeader>());
        Assert.Equal(196, Unsafe.SizeOf<OfferChannelMessage>());
        Assert.Equal(12, Unsafe.SizeOf<RelidMessage>());
        Assert.Equal(148, Unsafe.SizeOf<OpenChannelMessage>());
        Assert.Equal(20, Unsafe.SizeOf<OpenResultMessage>());
        Assert.Equal(20, Unsafe.SizeOf<GpadlHeaderMessage>());
        Assert.Equal(16, Unsafe.SizeOf<GpadlBodyMessage>());
        Assert.Equal(20, Unsafe.SizeOf<GpadlCreatedMessage>());
        Assert.Equal(16, Unsafe.SizeOf<GpadlTeardownMessage>());
        Assert.Equal(12, Unsafe.SizeOf<GpadlTorndownMessage>());
        Assert.Equal(40, Unsafe.SizeOf<InitiateContactMessage>());
        Assert.Equal(16, Unsafe.SizeOf<VersionResponseMessage>());
        Assert.Equal(16, Unsafe.SizeOf<ModifyChannelMessage>());
        Assert.Equal(16, Unsafe.SizeOf<ModifyChannelResponseMessage>());
        Assert.Equal(40, Unsafe.SizeOf<TlConnectRequestMessage>());
        Assert.Equal(44, Unsafe.SizeOf<TlConnectResultMessage>());
        Assert.Equal(16, Unsafe.SizeOf<PacketDescriptor>());
        Assert.Equal(8, Unsafe.SizeOf<GpaDirectHeader>());
        Assert.Equal(8, Unsafe.SizeOf<TransferPageHeader>());
        Assert.Equal(8, Unsafe.SizeOf<GpadlPacketHeader>());
    }

    [Theory]
    [InlineData(typeof(OfferChannelMessage), nameof(OfferChannelMessage.InterfaceId), 8)]
    [InlineData(typeof(OfferChannelMessage), nameof(OfferChannelMessage.InstanceId), 24)]
    [InlineData(typeof(OfferChannelMessage), nameof(OfferChannelMessage.Flags), 56)]
    [InlineData(typeof(OfferChannelMessage), nameof(OfferChannelMessage.MmioMegabytes), 58)]
    [InlineData(typeof(OfferChannelMessage), nameof(OfferChannelMessage.UserData), 60)]
    [InlineData(typeof(OfferChannelMessage), nameof(OfferChannelMessage.SubchannelIndex), 180)]
    [InlineData(typeof(OfferChannelMessage), nameof(OfferChannelMessage.Relid), 184)]
    [InlineData(typeof(OfferChannelMessage), nameof(OfferChannelMessage.MonitorId), 188)]
    [InlineData(typeof(OfferChannelMessage), nameof(OfferChannelMessage.MonitorAllocated), 189)]
    [InlineData(typeof(OfferChannelMessage), nameof(OfferChannelMessage.IsDedicatedInterrupt), 190)]
    [InlineData(typeof(OfferChannelMessage), nameof(OfferChannelMessage.ConnectionId), 192)]
    [InlineData(typeof(OpenChannelMessage), nameof(OpenChannelMessage.RingGpadl), 16)]
    [InlineData(typeof(OpenChannelMessage), nameof(OpenChannelMessage.TargetVp), 20)]
    [InlineData(typeof(OpenChannelMessage), nameof(OpenChannelMessage.DownstreamPageOffset), 24)]
    [InlineData(typeof(OpenChannelMessage), nameof(OpenChannelMessage.UserData), 28)]
    [InlineData(typeof(InitiateContactMessage), nameof(InitiateContactMessage.InterruptPageOrTarget), 16)]
    [InlineData(typeof(InitiateContactMessage), nameof(InitiateContactMessage.MonitorPageParentToChild), 24)]
    [InlineData(typeof(VersionResponseMessage), nameof(VersionResponseMessage.VersionOrConnectionId), 12)]
    [InlineData(typeof(GpadlHeaderMessage), nameof(GpadlHeaderMessage.RangeBytes), 16)]
    [InlineData(typeof(GpadlHeaderMessage), nameof(GpadlHeaderMessage.RangeCount), 18)]
    [InlineData(typeof(PacketDescriptor), nameof(PacketDescriptor.TransactionId), 8)]
    public void Fields_lie_where_the_headers_put_them(Type type, string field, int offset) =>
        Assert.Equal(offset, (int)Marshal.OffsetOf(type, field));

    [Fact]
    public void Every_message_type_and_any_garbage_can_be_formatted()
    {
        for (uint type = 0; type < 40; type++)
        {
            for (int length = 0; length <= VmbusConstants.MaxMessageBytes; length += 4)
            {
                byte[] message = new byte[length];
                if (length >= 4)
                {
                    MemoryMarshal.Write(message, in type);
                }

                Assert.NotEmpty(MessageFormatter.Format(message));
            }
        }
    }
}

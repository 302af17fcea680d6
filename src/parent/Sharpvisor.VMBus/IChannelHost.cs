// What a channel needs of the bus it is on.
using Sharpvisor.Core;

namespace Sharpvisor.VMBus;

/// <summary>The bus, as its channels see it.</summary>
internal interface IChannelHost
{
    GuestMemory Memory { get; }

    /// <summary>Sets a channel's event flag on a VP.</summary>
    bool Interrupt(uint vpIndex, uint relid);

    bool OfferSubchannels(VmbusChannel primary, int count);

    bool TryGetGpadl(VmbusChannel channel, uint handle, out GpadlView? view);

    /// <summary>The channel's handler is done with it.</summary>
    void ChannelClosed(VmbusChannel channel);

    void Trace(string text);

    bool TraceEnabled { get; }
}

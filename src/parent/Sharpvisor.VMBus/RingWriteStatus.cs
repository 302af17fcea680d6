// What became of a packet for the guest.
namespace Sharpvisor.VMBus;

/// <summary>Result of a write to the host-to-guest ring.</summary>
public enum RingWriteStatus
{
    /// <summary>Written; the guest is or will be signalled.</summary>
    Written,
    /// <summary>No room. The channel now waits for space and calls <see cref="IChannelHandler.OnWritable"/>; write again then.</summary>
    Full,
    /// <summary>The channel is closed (or the guest broke the ring): drop the packet.</summary>
    Closed,
    /// <summary>Can never fit into this ring; a bug of the writer or a guest that offered a tiny ring. Drop the packet.</summary>
    TooLarge,
}

// The seam between VMBus and a VSP: one open channel.
namespace Sharpvisor.VMBus;

/// <summary>
/// What a VSP does with one open channel. All callbacks are the channel's worker's: one at a time, never concurrently,
/// on a thread-pool thread unless <see cref="RunsOnSignallingThread"/>, never with the bus locked. While a callback runs no other packet of this channel is delivered, so
/// long work belongs elsewhere (start it, return, complete it later with <see cref="VmbusChannel.TryWriteCompletion(ulong, ReadOnlySpan{byte})"/>).
/// </summary>
public interface IChannelHandler
{
    /// <summary>
    /// <see cref="OnPacket"/>, <see cref="OnBatchEnd"/> and <see cref="OnWritable"/> never wait for anything and are quick, so that a VP's
    /// thread may call them from inside the hypercall that signals. The other callbacks stay on the pool.
    /// </summary>
    bool RunsOnSignallingThread => false;

    /// <summary>The guest has been told that the channel is open: a VSP that speaks first may write now. First callback.</summary>
    void OnOpened(VmbusChannel channel)
    {
    }

    /// <summary>A packet the guest wrote.</summary>
    /// <returns>
    /// True: consumed. False: not now; the packet stays in the ring and is delivered again after <see cref="OnWritable"/>
    /// or <see cref="VmbusChannel.Resume"/> (use it when a queue is full or an answer does not fit into the ring).
    /// </returns>
    bool OnPacket(VmbusChannel channel, in IncomingPacket packet);

    /// <summary>The ring is drained (or the batch limit reached): submit what was gathered. Signals held back during the batch follow.</summary>
    void OnBatchEnd(VmbusChannel channel)
    {
    }

    /// <summary>
    /// A write returned <see cref="RingWriteStatus.Full"/> earlier, and there is room for it now; or the channel is closing, and writing
    /// again returns <see cref="RingWriteStatus.Closed"/>: <see cref="OnClosed"/> follows.
    /// </summary>
    void OnWritable(VmbusChannel channel)
    {
    }

    /// <summary>
    /// The channel was closed by the guest, by a rescind, an unload or a reset. Last callback. The guest gets its memory back (GPADL
    /// torn down, unload answered) only after this returned, so it must not return while I/O to or from guest memory
    /// that this channel's packets started is still under way; it may block for that. Writes fail with <see cref="RingWriteStatus.Closed"/> from before the call on.
    /// </summary>
    void OnClosed(VmbusChannel channel);
}

// The hypervisor's message and event ports, as VMBus in the parent sees them
// (TLFS "Inter-Partition Communication").
namespace Sharpvisor.Core;

/// <summary>Guest to parent: a message from HvCallPostMessage. The payload is a private copy of at most 240 bytes.</summary>
/// <returns>An HV_STATUS: 0 success, 0x13 insufficient buffers (the guest retries).</returns>
public delegate ushort MessagePortHandler(uint messageType, ReadOnlySpan<byte> payload);

/// <summary>The parent's end of SynIC. Thread-safe.</summary>
public interface ISynicPorts
{
    /// <summary>Receives messages posted to a connection id.</summary>
    void OpenMessagePort(uint connectionId, MessagePortHandler handler);

    /// <summary>Receives HvCallSignalEvent on a connection id; argument: flag number.</summary>
    void OpenEventPort(uint connectionId, Action<ushort> handler);

    void ClosePort(uint connectionId);

    /// <summary>
    /// Queues a message for a VP's SINT; the hypervisor delivers in order, retrying when the guest frees the slot (EOM).
    /// False when the VP does not exist, the payload exceeds 240 bytes or the queue is full.
    /// </summary>
    bool PostMessage(uint vpIndex, byte sint, uint messageType, ReadOnlySpan<byte> payload);

    /// <summary>Sets an event flag (0..2047) of a VP's SINT and interrupts if it was clear. False when the SINT is masked or SIEFP is off.</summary>
    bool SignalEvent(uint vpIndex, byte sint, ushort flag);

    /// <summary>Drops messages still queued for a SINT (VMBus unload, guest reset).</summary>
    void DiscardMessages(byte sint);
}

// SynIC without a hypervisor: connects a VMBus server with the C# guest end in one process (TLFS "Inter-Partition Communication").
// Messages arrive in order in a queue; event flags call whoever registered for them, on the signalling thread.
using System.Collections.Concurrent;
using Sharpvisor.Core;

namespace Sharpvisor.Vsc;

/// <summary>A message as it would be in the SIM page's slot.</summary>
public sealed record GuestMessage(uint VpIndex, byte Sint, uint MessageType, byte[] Payload);

/// <summary>Both ends of an in-process SynIC. Thread-safe.</summary>
public sealed class LoopbackSynic : ISynicPorts
{
    public const ushort HvStatusSuccess = 0;
    public const ushort HvStatusInvalidConnectionId = 0x12;
    public const ushort HvStatusInsufficientBuffers = 0x13;

    private const int MaxPayloadBytes = 240;
    private readonly ConcurrentDictionary<uint, MessagePortHandler> _messagePorts = new();
    private readonly ConcurrentDictionary<uint, Action<ushort>> _eventPorts = new();
    private readonly ConcurrentDictionary<ushort, Action<uint>> _flagHandlers = new();
    private readonly BlockingCollection<GuestMessage> _messages = [];

    /// <summary>VPs that exist.</summary>
    public uint VpCount { get; init; } = 4;

    /// <summary>Messages the queue takes before PostMessage fails.</summary>
    public int QueueLimit { get; set; } = int.MaxValue;

    /// <summary>Messages not yet taken.</summary>
    public int Queued => _messages.Count;

    /// <summary>Open event connections.</summary>
    public int EventPortCount => _eventPorts.Count;

    /// <inheritdoc/>
    public void OpenMessagePort(uint connectionId, MessagePortHandler handler) => _messagePorts[connectionId] = handler;

    /// <inheritdoc/>
    public void OpenEventPort(uint connectionId, Action<ushort> handler) => _eventPorts[connectionId] = handler;

    /// <inheritdoc/>
    public void ClosePort(uint connectionId)
    {
        _messagePorts.TryRemove(connectionId, out _);
        _eventPorts.TryRemove(connectionId, out _);
    }

    /// <inheritdoc/>
    public bool PostMessage(uint vpIndex, byte sint, uint messageType, ReadOnlySpan<byte> payload)
    {
        if (vpIndex >= VpCount || payload.Length > MaxPayloadBytes || _messages.Count >= QueueLimit)
        {
            return false;
        }

        _messages.Add(new GuestMessage(vpIndex, sint, messageType, payload.ToArray()));
        return true;
    }

    /// <inheritdoc/>
    public bool SignalEvent(uint vpIndex, byte sint, ushort flag)
    {
        if (vpIndex >= VpCount || !_flagHandlers.TryGetValue(flag, out Action<uint>? handler))
        {
            return false;
        }

        handler(vpIndex);
        return true;
    }

    /// <inheritdoc/>
    public void DiscardMessages(byte sint)
    {
        while (_messages.TryTake(out _))
        {
        }
    }

    /// <summary>The guest's HvCallPostMessage; returns the HV_STATUS.</summary>
    public ushort GuestPostMessage(uint connectionId, uint messageType, ReadOnlySpan<byte> payload) =>
        _messagePorts.TryGetValue(connectionId, out MessagePortHandler? handler)
            ? handler(messageType, payload.ToArray())
            : HvStatusInvalidConnectionId;

    /// <summary>The guest's HvCallSignalEvent; returns the HV_STATUS.</summary>
    public ushort GuestSignalEvent(uint connectionId, ushort flag = 0)
    {
        if (!_eventPorts.TryGetValue(connectionId, out Action<ushort>? handler))
        {
            return HvStatusInvalidConnectionId;
        }

        handler(flag);
        return HvStatusSuccess;
    }

    /// <summary>The guest's interrupt handler for one event flag of SINT 2; argument: the VP it arrived on.</summary>
    public void OnFlag(ushort flag, Action<uint>? handler)
    {
        if (handler is null)
        {
            _flagHandlers.TryRemove(flag, out _);
        }
        else
        {
            _flagHandlers[flag] = handler;
        }
    }

    /// <summary>Takes the next message out of the slot (EOM included).</summary>
    public bool TryTakeMessage(out GuestMessage? message, TimeSpan timeout) => _messages.TryTake(out message, timeout);
}

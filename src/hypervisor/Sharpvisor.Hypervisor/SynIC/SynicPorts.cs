// Connection ids of the guest's HvCallPostMessage and HvCallSignalEvent, and who receives them in the parent
// (TLFS "Ports and Connections"). Lookups take no lock.
using System.Collections.Concurrent;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed class SynicPorts
{
    private readonly ConcurrentDictionary<uint, MessagePortHandler> _messages = new();
    private readonly ConcurrentDictionary<uint, Action<ushort>> _events = new();

    public void OpenMessagePort(uint connectionId, MessagePortHandler handler) => _messages[connectionId] = handler;

    public void OpenEventPort(uint connectionId, Action<ushort> handler) => _events[connectionId] = handler;

    public void Close(uint connectionId)
    {
        _messages.TryRemove(connectionId, out _);
        _events.TryRemove(connectionId, out _);
    }

    public ushort Post(uint connectionId, uint messageType, ReadOnlySpan<byte> payload) =>
        _messages.TryGetValue(connectionId, out MessagePortHandler? handler)
            ? handler(messageType, payload)
            : HvStatus.InvalidConnectionId;

    public ushort Signal(uint connectionId, ushort flag)
    {
        if (!_events.TryGetValue(connectionId, out Action<ushort>? handler))
        {
            return HvStatus.InvalidConnectionId;
        }

        handler(flag);
        return HvStatus.Success;
    }
}

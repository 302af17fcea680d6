// The partition as chipset and VMBus see it: the APIC bus and the parent's end of SynIC.
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

public sealed partial class Partition
{
    /// <inheritdoc/>
    public event Action<byte>? EndOfInterrupt
    {
        add => ApicBus.EndOfInterrupt += value;
        remove => ApicBus.EndOfInterrupt -= value;
    }

    /// <inheritdoc/>
    public void Deliver(MsiMessage message) => ApicBus.Deliver(message);

    /// <inheritdoc/>
    public bool TryMapInterrupt(ulong deviceId, byte vector, ulong processors, out MsiMessage message) =>
        Redirection.TryMap(deviceId, vector, processors, out message);

    /// <inheritdoc/>
    public void UnmapInterrupt(ulong deviceId, MsiMessage message) => Redirection.Unmap(deviceId, message);

    /// <inheritdoc/>
    public void UnmapInterrupts(ulong deviceId) => Redirection.UnmapAll(deviceId);

    /// <inheritdoc/>
    public void DeliverInterrupt(ulong deviceId, MsiMessage message) => Redirection.Deliver(deviceId, message);

    /// <inheritdoc/>
    public void SetExternalInterrupt(bool asserted) => ApicBus.SetExternalInterrupt(asserted);

    /// <inheritdoc/>
    public void OpenMessagePort(uint connectionId, MessagePortHandler handler) => Ports.OpenMessagePort(connectionId, handler);

    /// <inheritdoc/>
    public void OpenEventPort(uint connectionId, Action<ushort> handler) => Ports.OpenEventPort(connectionId, handler);

    /// <inheritdoc/>
    public void ClosePort(uint connectionId) => Ports.Close(connectionId);

    /// <inheritdoc/>
    public bool PostMessage(uint vpIndex, byte sint, uint messageType, ReadOnlySpan<byte> payload) =>
        vpIndex < (uint)_processors.Length
        && _processors[vpIndex].Synic is { } synic
        && synic.PostMessage(sint, messageType, payload);

    /// <inheritdoc/>
    public bool SignalEvent(uint vpIndex, byte sint, ushort flag) =>
        vpIndex < (uint)_processors.Length && _processors[vpIndex].Synic is { } synic && synic.SignalEvent(sint, flag);

    /// <inheritdoc/>
    public bool AssertSint(uint vpIndex, byte sint) =>
        vpIndex < (uint)_processors.Length && _processors[vpIndex].Synic is { } synic && synic.AssertSint(sint);

    /// <inheritdoc/>
    public void DiscardMessages(byte sint)
    {
        foreach (VirtualProcessor processor in _processors)
        {
            processor.Synic?.DiscardMessages(sint);
        }
    }
}

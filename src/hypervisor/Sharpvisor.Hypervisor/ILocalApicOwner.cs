// What a local APIC needs of the VP it belongs to.
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal interface ILocalApicOwner
{
    /// <summary>What the guest's TSC is ahead of partition time; VP thread only.</summary>
    ulong TscOffset { get; }

    /// <summary>Makes the engine, or a halted VP, look at its events. Any thread.</summary>
    void Notify(VpEvents events);

    void PostInit();

    void PostStartup(byte page);
}

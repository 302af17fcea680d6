// The interrupt redirection table behind HvCallRetargetInterrupt (TLFS, HV_INTERRUPT_ENTRY and HV_DEVICE_INTERRUPT_TARGET;
// drivers/pci/controller/pci-hyperv.c, hv_arch_irq_unmask). A message's data is its entry's number plus 1.
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed class InterruptRedirection(IReadOnlyList<VirtualProcessor> processors)
{
    /// <summary>All devices of a partition together.</summary>
    public const int MaxEntries = 1024;

    private const ulong MessageAddress = 0xFEE0_0000;
    private const byte FirstVector = 0x10;
    private readonly Lock _lock = new();
    private readonly Entry[] _entries = new Entry[MaxEntries];

    public bool TryMap(ulong deviceId, byte vector, ulong targets, out MsiMessage message)
    {
        message = default;
        if (vector < FirstVector)
        {
            return false;
        }

        lock (_lock)
        {
            int free = Array.FindIndex(_entries, static e => !e.IsUsed);
            if (free < 0)
            {
                return false;
            }

            _entries[free] = new Entry(true, deviceId, vector, targets, Multicast: false);
            message = new MsiMessage(MessageAddress, (uint)free + 1);
            return true;
        }
    }

    public void Unmap(ulong deviceId, MsiMessage message)
    {
        lock (_lock)
        {
            if (TryFind(deviceId, message.Address, message.Data, out int index))
            {
                _entries[index] = default;
            }
        }
    }

    public void UnmapAll(ulong deviceId)
    {
        lock (_lock)
        {
            for (int i = 0; i < MaxEntries; i++)
            {
                if (_entries[i].IsUsed && _entries[i].DeviceId == deviceId)
                {
                    _entries[i] = default;
                }
            }
        }
    }

    /// <returns>False when there is no such entry, or its vector cannot be delivered.</returns>
    public bool Retarget(ulong deviceId, uint address, uint data, uint vector, ulong targets, bool multicast)
    {
        lock (_lock)
        {
            if (vector is < FirstVector or > byte.MaxValue || !TryFind(deviceId, address, data, out int index))
            {
                return false;
            }

            _entries[index] = new Entry(true, deviceId, (byte)vector, targets, multicast);
            return true;
        }
    }

    public void Deliver(ulong deviceId, MsiMessage message)
    {
        Entry entry;
        lock (_lock)
        {
            if (!TryFind(deviceId, message.Address, message.Data, out int index))
            {
                return;
            }

            entry = _entries[index];
        }

        for (int i = 0; i < processors.Count; i++)
        {
            if ((entry.Targets & (1UL << i)) != 0 && processors[i].Apic.AcceptVector(entry.Vector) && !entry.Multicast)
            {
                return;
            }
        }
    }

    private bool TryFind(ulong deviceId, ulong address, uint data, out int index)
    {
        index = (int)(data - 1);
        return address == MessageAddress && data - 1 < MaxEntries && _entries[index].IsUsed && _entries[index].DeviceId == deviceId;
    }

    private readonly record struct Entry(bool IsUsed, ulong DeviceId, byte Vector, ulong Targets, bool Multicast);
}

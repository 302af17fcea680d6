// Disks with controller=nvme: each an NVMe controller on a virtual PCI bus of its own, reachable through VMBus only.
using Sharpvisor.Core;
using Sharpvisor.Devices.Nvme;
using Sharpvisor.Storage;
using Sharpvisor.VMBus;
using Sharpvisor.Vsp.Pci;

namespace Sharpvisor.Worker;

internal sealed class VmNvmeDisks : IDisposable
{
    public const int MaxDisks = 16;

    // pci-hyperv.c, hv_eject_device_work: Windows waits so long before it takes the device away by force.
    private static readonly TimeSpan s_ejectTimeout = TimeSpan.FromSeconds(60);

    private readonly VmbusServer? _bus;
    private readonly IDeviceBus _devices;
    private readonly GuestMemory _memory;
    private readonly IInterruptRedirection _interrupts;
    private readonly Statistics _statistics;
    private readonly SortedDictionary<int, Place> _places = [];
    private readonly Lock _lock = new();
    private bool _disposed;

    /// <param name="bus">Null: the VM has none, and takes no such disk.</param>
    public VmNvmeDisks(VmbusServer? bus, IDeviceBus devices, GuestMemory memory, IInterruptRedirection interrupts, Statistics statistics)
    {
        _bus = bus;
        _devices = devices;
        _memory = memory;
        _interrupts = interrupts;
        _statistics = statistics;
    }

    /// <summary>The disks now attached, with the number that <see cref="RemoveAsync"/> takes.</summary>
    public IReadOnlyList<(DiskOptions Options, int Index)> List()
    {
        lock (_lock)
        {
            return [.. _places.Select(p => (p.Value.Options, p.Key))];
        }
    }

    /// <summary>Opens a disk and offers it; a running guest sees a hot add.</summary>
    /// <exception cref="VmConfigurationException">It cannot be used.</exception>
    public int Add(DiskOptions options)
    {
        if (_bus is null)
        {
            throw new VmConfigurationException(
                $"--disk {options.Path}: controller=nvme is on a synthetic PCI bus, which a VM with --integration off does not have");
        }

        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            int index = Enumerable.Range(0, MaxDisks).FirstOrDefault(i => !_places.ContainsKey(i), -1);
            if (index < 0)
            {
                throw new VmConfigurationException($"--disk: more than {MaxDisks} disks with controller=nvme");
            }

            IDisk disk;
            try
            {
                disk = DiskImage.Open(options.Path, options.ReadOnly);
            }
            catch (DiskException e)
            {
                throw new VmConfigurationException(e.Message);
            }

            var controller = new NvmeController(disk, _memory, index, _statistics);
            var vsp = new PciVsp(controller, index, _devices, _interrupts);
            _places.Add(index, new Place(options, disk, controller, vsp));
            _bus.Offer(vsp);
            return index;
        }
    }

    /// <summary>
    /// Asks the guest to eject a disk, takes it away when it has or does not in time, and closes its file. False when there is none
    /// with this number.
    /// </summary>
    public async Task<bool> RemoveAsync(int index)
    {
        Place? place;
        lock (_lock)
        {
            if (!_places.TryGetValue(index, out place) || place.IsLeaving)
            {
                return false;
            }

            place.IsLeaving = true;
        }

        _ = await place.Vsp.EjectAsync(s_ejectTimeout);
        _bus!.Rescind(place.Vsp);
        place.Controller.PowerOff();
        lock (_lock)
        {
            if (_places.Remove(index))
            {
                place.Disk.Dispose();
            }
        }

        return true;
    }

    /// <summary>Closes all disks; nothing may use the controllers any more.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            foreach (Place place in _places.Values)
            {
                place.Disk.Dispose();
            }

            _places.Clear();
        }
    }

    private sealed record Place(DiskOptions Options, IDisk Disk, NvmeController Controller, PciVsp Vsp)
    {
        public bool IsLeaving { get; set; }
    }
}

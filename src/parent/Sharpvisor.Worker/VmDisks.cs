// Opens a VM's disks and attaches each to its controllers: IDE disks to the emulated controller and, when integration is on, to
// VMBus as well (the guest chooses by the driver it loads); SCSI disks to the synthetic controller only.
using Sharpvisor.Core;
using Sharpvisor.Devices.Ide;
using Sharpvisor.Storage;
using Sharpvisor.Storage.Scsi;
using Sharpvisor.VMBus;
using Sharpvisor.Vsp.Storage;

namespace Sharpvisor.Worker;

internal sealed class VmDisks : IDisposable
{
    private const int IdePlaces = 4;
    private readonly List<(DiskOptions Options, IDisk Disk)> _disks = [];
    private readonly Dictionary<int, IDisk> _attached = [];
    private readonly Lock _lock = new();
    private StorVsp? _scsi;
    private bool _disposed;

    /// <exception cref="VmConfigurationException">A disk cannot be used; nothing stays open.</exception>
    public VmDisks(VmOptions options)
    {
        if (options.Disks.Count(d => d.Controller == DiskController.Ide) > IdePlaces)
        {
            throw new VmConfigurationException($"--disk: more than {IdePlaces} disks with controller=ide");
        }

        if (options.Disks.Count(d => d.Controller == DiskController.Scsi) > StorVsp.MaxLuns)
        {
            throw new VmConfigurationException($"--disk: more than {StorVsp.MaxLuns} disks with controller=scsi");
        }

        try
        {
            foreach (DiskOptions disk in options.Disks.Where(d => d.Controller != DiskController.Nvme))
            {
                if (disk.Controller == DiskController.Scsi && !options.Integration)
                {
                    throw new VmConfigurationException(
                        $"--disk {disk.Path}: controller=scsi is a synthetic controller, which a VM with --integration off does not have");
                }

                _disks.Add((disk, DiskImage.Open(disk.Path, disk.ReadOnly)));
            }
        }
        catch (DiskException e)
        {
            Dispose();
            throw new VmConfigurationException(e.Message);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Attaches the IDE disks to the emulated controller.</summary>
    public void AttachEmulated(Piix4Ide controller)
    {
        int place = 0;
        foreach ((_, IDisk disk) in _disks.Where(d => d.Options.Controller == DiskController.Ide))
        {
            (int channel, int drive) = (place / 2, place % 2);
            if (IsOptical(disk))
            {
                controller.AttachCdRom(channel, drive, new ScsiDvd(disk));
            }
            else
            {
                controller.AttachDisk(channel, drive, disk);
            }

            place++;
        }
    }

    /// <summary>Offers the SCSI controller and the accelerated IDE disks.</summary>
    public void OfferSynthetic(VmbusServer bus, int processors, Statistics statistics)
    {
        int place = 0;
        var scsi = StorVsp.CreateScsi(0, (ushort)(processors - 1), statistics);
        int lun = 0;
        foreach ((DiskOptions options, IDisk disk) in _disks)
        {
            if (options.Controller == DiskController.Scsi)
            {
                _attached[lun] = disk;
                _ = scsi.TryAdd(lun++, LogicalUnit(disk));
            }
            else
            {
                // A CD-ROM on IDE is emulated only, as on Hyper-V.
                if (!IsOptical(disk))
                {
                    bus.Offer(StorVsp.CreateIde(place / 2, place % 2, new ScsiDisk(disk), statistics));
                }

                place++;
            }
        }

        bus.Offer(scsi);
        _scsi = scsi;
    }

    /// <summary>The disks now attached, with their LUN; IDE disks have none.</summary>
    public IReadOnlyList<(DiskOptions Options, int? Lun)> List()
    {
        lock (_lock)
        {
            return
            [
                .. _disks.Where(d => d.Options.Controller == DiskController.Ide).Select(d => (d.Options, (int?)null)),
                .. _attached.OrderBy(a => a.Key).Select(a => (_disks.First(d => d.Disk == a.Value).Options, (int?)a.Key)),
            ];
        }
    }

    /// <summary>Opens a disk and attaches it to the running VM's synthetic SCSI controller; returns its LUN.</summary>
    /// <exception cref="VmConfigurationException">It cannot be used.</exception>
    public int Add(DiskOptions options)
    {
        if (options.Controller != DiskController.Scsi || _scsi is not { } scsi)
        {
            throw new VmConfigurationException($"--disk {options.Path}: only a synthetic SCSI controller takes disks while its VM runs");
        }

        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            int lun = Enumerable.Range(0, StorVsp.MaxLuns).FirstOrDefault(l => !_attached.ContainsKey(l), -1);
            if (lun < 0)
            {
                throw new VmConfigurationException($"--disk: more than {StorVsp.MaxLuns} disks with controller=scsi");
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

            _disks.Add((options, disk));
            _attached[lun] = disk;
            _ = scsi.TryAdd(lun, LogicalUnit(disk));
            return lun;
        }
    }

    /// <summary>Detaches a disk of the synthetic SCSI controller and closes its file. False when there is none with this LUN.</summary>
    public bool Remove(int lun)
    {
        lock (_lock)
        {
            if (_disposed || !_attached.Remove(lun, out IDisk? disk))
            {
                return false;
            }

            _scsi?.Remove(lun);
            _disks.RemoveAll(d => d.Disk == disk);
            disk.Dispose();
            return true;
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            foreach ((_, IDisk disk) in _disks)
            {
                disk.Dispose();
            }
        }
    }

    private static IScsiTarget LogicalUnit(IDisk disk) => IsOptical(disk) ? new ScsiDvd(disk) : new ScsiDisk(disk);

    private static bool IsOptical(IDisk disk) => disk.LogicalSectorBytes == DiskImage.OpticalSectorBytes;
}

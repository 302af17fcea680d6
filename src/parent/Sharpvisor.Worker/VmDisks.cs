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
    private readonly Lock _lock = new();
    private readonly List<(DiskOptions Options, IDisk Disk)> _disks = [];
    private readonly Dictionary<int, DiskOptions> _luns = [];
    private StorVsp? _scsi;

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
            foreach (DiskOptions disk in options.Disks)
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
                _luns.Add(lun, options);
                _ = scsi.TryAdd(lun++, Target(disk));
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

        _scsi = scsi;
        bus.Offer(scsi);
    }

    /// <summary>The disks now attached, with their LUN; IDE disks have none.</summary>
    public IReadOnlyList<(DiskOptions Options, int? Lun)> List()
    {
        lock (_lock)
        {
            return
            [
                .. _disks.Where(d => d.Options.Controller == DiskController.Ide).Select(d => (d.Options, (int?)null)),
                .. _luns.OrderBy(l => l.Key).Select(l => (l.Value, (int?)l.Key)),
            ];
        }
    }

    /// <summary>Opens a disk and attaches it to the SCSI controller of the running VM.</summary>
    /// <returns>Its LUN.</returns>
    /// <exception cref="VmConfigurationException">It cannot be used, or there is no such controller or no free LUN.</exception>
    public int HotAdd(string path, bool readOnly)
    {
        lock (_lock)
        {
            StorVsp scsi = _scsi ?? throw new VmConfigurationException($"disk '{path}': a VM with --integration off has no SCSI controller");
            int lun = Enumerable.Range(0, StorVsp.MaxLuns).FirstOrDefault(l => !_luns.ContainsKey(l), -1);
            if (lun < 0)
            {
                throw new VmConfigurationException($"disk '{path}': all {StorVsp.MaxLuns} LUNs are taken");
            }

            IDisk disk;
            try
            {
                disk = DiskImage.Open(path, readOnly);
            }
            catch (DiskException e)
            {
                throw new VmConfigurationException(e.Message);
            }

            var options = new DiskOptions(path, DiskController.Scsi, readOnly);
            _disks.Add((options, disk));
            _luns.Add(lun, options);
            _ = scsi.TryAdd(lun, Target(disk));
            return lun;
        }
    }

    /// <summary>Detaches a SCSI disk from the running VM, waits for its requests and closes it.</summary>
    /// <exception cref="VmConfigurationException">There is none at that LUN.</exception>
    public void HotRemove(int lun)
    {
        lock (_lock)
        {
            if (!_luns.Remove(lun, out DiskOptions? options))
            {
                throw new VmConfigurationException($"disk remove {lun}: no SCSI disk has that LUN");
            }

            _ = _scsi!.Remove(lun);
            int index = _disks.FindIndex(d => ReferenceEquals(d.Options, options));
            _disks[index].Disk.Dispose();
            _disks.RemoveAt(index);
        }
    }

    public void Dispose()
    {
        foreach ((_, IDisk disk) in _disks)
        {
            disk.Dispose();
        }
    }

    private static IScsiTarget Target(IDisk disk) => IsOptical(disk) ? new ScsiDvd(disk) : new ScsiDisk(disk);

    private static bool IsOptical(IDisk disk) => disk.LogicalSectorBytes == DiskImage.OpticalSectorBytes;
}

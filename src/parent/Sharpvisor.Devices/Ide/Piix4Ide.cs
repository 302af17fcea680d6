// The IDE function of the PIIX4 (Intel 82371AB datasheet, chapter 5): two legacy channels and the bus master registers
// behind BAR 4. drivers/ata/ata_piix.c drives it; with Microsoft's SMBIOS strings and prefer_ms_hyperv it leaves the hard
// disks to hv_storvsc.
using Sharpvisor.Core;
using Sharpvisor.Devices.Pci;

namespace Sharpvisor.Devices.Ide;

/// <summary>00:07.1, 8086:7111.</summary>
public sealed class Piix4Ide : PciFunction, IPortDevice
{
    private const int BusMasterBar = 4;
    private const int BusMasterBytes = 16;
    private const int Timing = 0x40;
    private readonly IdeChannel[] _channels;

    /// <param name="bus">Where the legacy ports go.</param>
    /// <param name="memory">What the bus master reads and writes.</param>
    /// <param name="irq14">Interrupt of the primary channel.</param>
    /// <param name="irq15">Interrupt of the secondary channel.</param>
    /// <param name="statistics">Gets <c>storage.ata0.*</c> and <c>storage.ata1.*</c>.</param>
    public Piix4Ide(
        IDeviceBus bus, GuestMemory memory, IInterruptLine irq14, IInterruptLine irq15, Statistics statistics)
        : base(7, 1, new PciIdentity(0x8086, 0x7111, 0x010180, Revision: 1))
    {
        ArgumentNullException.ThrowIfNull(bus);
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(statistics);
        _channels = [new IdeChannel(0, memory, irq14, statistics), new IdeChannel(1, memory, irq15, statistics)];
        AllowWrites16(PciConfig.Command, PciConfig.CommandIo | PciConfig.CommandBusMaster);
        Set16(PciConfig.Status, 0x0280);
        DefineIoBar(BusMasterBar, BusMasterBytes, this);

        // IDETIM: both channels decode, as firmware leaves them; ata_piix skips a channel whose bit 15 is clear.
        Set16(Timing, 0x8000);
        Set16(Timing + 2, 0x8000);
        foreach (int offset in (ReadOnlySpan<int>)[0x40, 0x41, 0x42, 0x43, 0x44, 0x48, 0x4A, 0x4B])
        {
            AllowWrites(offset, 0xFF);
        }

        _channels[0].MapPorts(bus);
        _channels[1].MapPorts(bus);
    }

    /// <summary>Puts a hard disk on a channel, before the machine runs.</summary>
    /// <param name="channel">0 primary, 1 secondary.</param>
    /// <param name="drive">0 master, 1 slave.</param>
    /// <param name="disk">A disk of 512-byte sectors; stays its owner's.</param>
    public void AttachDisk(int channel, int drive, IDisk disk)
    {
        ArgumentNullException.ThrowIfNull(disk);
        _channels[channel].Attach(new AtaDisk(_channels[channel], drive, disk));
    }

    /// <summary>Puts a CD/DVD drive on a channel, before the machine runs.</summary>
    /// <param name="channel">0 primary, 1 secondary.</param>
    /// <param name="drive">0 master, 1 slave.</param>
    /// <param name="target">Its MMC command set.</param>
    public void AttachCdRom(int channel, int drive, IScsiTarget target)
    {
        ArgumentNullException.ThrowIfNull(target);
        _channels[channel].Attach(new AtapiDrive(_channels[channel], drive, target));
    }

    /// <inheritdoc/>
    /// <remarks>Bus master registers, relative to BAR 4.</remarks>
    public uint ReadPort(ushort port, int bytes)
    {
        uint value = 0;
        for (int i = 0; i < bytes && port + i < BusMasterBytes; i++)
        {
            IdeChannel channel = _channels[(port + i) >> 3];
            lock (channel.Lock)
            {
                value |= (uint)channel.BusMaster.ReadRegister((port + i) & 7) << (8 * i);
            }
        }

        return value;
    }

    /// <inheritdoc/>
    public void WritePort(ushort port, int bytes, uint value)
    {
        for (int i = 0; i < bytes && port + i < BusMasterBytes; i++)
        {
            IdeChannel channel = _channels[(port + i) >> 3];
            lock (channel.Lock)
            {
                channel.BusMaster.WriteRegister((port + i) & 7, (byte)(value >> (8 * i)));
            }
        }
    }

    /// <inheritdoc/>
    protected override void OnReset()
    {
        _channels[0].Reset();
        _channels[1].Reset();
    }
}

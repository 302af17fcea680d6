// The host bridge of a Generation 1 machine: an 82443BX without AGP (Intel 82443BX datasheet, chapter 3). Its DRAM and
// PAM registers keep what firmware writes; RAM below 1 MiB is always writable here.
namespace Sharpvisor.Devices.Pci;

/// <summary>00:00.0, 8086:7192.</summary>
internal sealed class I440BxHostBridge : PciFunction
{
    public I440BxHostBridge()
        : base(0, 0, new PciIdentity(0x8086, 0x7192, 0x060000, Revision: 3))
    {
        Set16(PciConfig.Command, 0x0006);
        AllowWrites16(PciConfig.Command, 0x0100);
        Set16(PciConfig.Status, 0x0200);

        // NBXCFG, DRAMC, PAM0..6, DRB0..7 and SMRAM, as firmware left them: all of the shadow RAM open.
        for (int offset = 0x50; offset < 0x100; offset++)
        {
            AllowWrites(offset, 0xFF);
        }

        Set8(0x59, 0x30);
        for (int pam = 0x5A; pam <= 0x5F; pam++)
        {
            Set8(pam, 0x33);
        }

        Set8(0x72, 0x02);
        Set8(0x73, 0x38);
    }
}

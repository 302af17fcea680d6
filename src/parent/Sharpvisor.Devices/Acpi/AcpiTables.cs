// ACPI's static tables (ACPI 6.4, chapter 5) for the Generation 1 machine, with Hyper-V's identity and place.
using System.Buffers.Binary;
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.Devices.Pci;

namespace Sharpvisor.Devices.Acpi;

/// <summary>Builds the tables and puts them into guest memory.</summary>
internal sealed class AcpiTables
{
    private const int HeaderBytes = 36;
    private const int SciInterrupt = 9;

    private readonly FirmwareIdentity _identity;
    private readonly int _processors;
    private readonly bool _integration;

    public AcpiTables(FirmwareIdentity identity, int processors, bool integration)
    {
        _identity = identity;
        _processors = processors;
        _integration = integration;
    }

    /// <summary>Writes every table; the RSDP is at <see cref="PlatformLayout.RsdpGpa"/>.</summary>
    public void Write(GuestMemory memory)
    {
        ulong dataGpa = memory.LowRamBytes - PlatformLayout.AcpiBytes;
        ulong facsGpa = memory.LowRamBytes - PlatformLayout.AcpiNvsBytes;
        ulong next = dataGpa;

        void Put(ulong gpa, byte[] bytes)
        {
            if (!memory.TryWrite(gpa, bytes))
            {
                throw new InvalidOperationException($"ACPI tables do not fit at 0x{gpa:x}");
            }
        }

        ulong Place(byte[] table)
        {
            ulong gpa = next;
            next = (next + (ulong)table.Length + 15) & ~15UL;
            if (next > facsGpa)
            {
                throw new InvalidOperationException("ACPI tables exceed their region");
            }

            Put(gpa, table);
            return gpa;
        }

        ulong dsdt = Place(Table("DSDT", 2, Dsdt.Build(_processors, _integration, memory.MaximumHighRamBytes)));
        List<ulong> tables = [Place(Fadt(facsGpa, dsdt)), Place(Madt())];
        if (_integration)
        {
            tables.Add(Place(Waet()));
        }

        if (memory.MaximumHighRamBytes > memory.HighRamBytes)
        {
            tables.Add(Place(Srat(memory.LowRamBytes, memory.MaximumHighRamBytes)));
        }

        ulong rsdt = Place(Table("RSDT", 1, [.. tables.SelectMany(t => Bytes32((uint)t))]));
        ulong xsdt = Place(Table("XSDT", 1, [.. tables.SelectMany(Bytes64)]));
        Put(facsGpa, Facs());
        Put(PlatformLayout.RsdpGpa, Rsdp(rsdt, xsdt));
    }

    /// <summary>5.2.5.3.</summary>
    internal byte[] Rsdp(ulong rsdt, ulong xsdt)
    {
        byte[] rsdp = new byte[36];
        "RSD PTR "u8.CopyTo(rsdp);
        Ascii(_identity.AcpiOemId, 6).CopyTo(rsdp, 9);
        rsdp[15] = 2;
        BinaryPrimitives.WriteUInt32LittleEndian(rsdp.AsSpan(16), (uint)rsdt);
        BinaryPrimitives.WriteUInt32LittleEndian(rsdp.AsSpan(20), 36);
        BinaryPrimitives.WriteUInt64LittleEndian(rsdp.AsSpan(24), xsdt);
        rsdp[8] = Checksum(rsdp.AsSpan(0, 20));
        rsdp[32] = Checksum(rsdp);
        return rsdp;
    }

    /// <summary>
    /// 5.2.16, one node. Where memory above 4 GiB may come, the guest has to know at the start: Linux sets up bounce buffers then for devices
    /// that reach 32 bits only (arch/x86/kernel/pci-dma.c, max_possible_pfn).
    /// </summary>
    internal byte[] Srat(ulong lowBytes, ulong highBytes)
    {
        const int Enabled = 1;
        const int HotPluggable = 2;
        List<byte> srat = [.. Bytes32(1), .. Bytes64(0)];
        for (int i = 0; i < _processors; i++)
        {
            srat.AddRange([0, 16, 0, (byte)i, .. Bytes32(Enabled), .. Bytes64(0)]);
        }

        void AddMemory(ulong gpa, ulong bytes, uint flags) =>
            srat.AddRange([1, 40, .. Bytes32(0), 0, 0, .. Bytes64(gpa), .. Bytes64(bytes), .. Bytes32(0), .. Bytes32(flags), .. Bytes64(0)]);

        AddMemory(0, lowBytes, Enabled);
        if (lowBytes < GuestMemory.LowRamLimit)
        {
            AddMemory(lowBytes, GuestMemory.LowRamLimit - lowBytes, Enabled | HotPluggable);
        }

        AddMemory(GuestMemory.HighRamBase, highBytes, Enabled | HotPluggable);
        return Table("SRAT", 3, [.. srat]);
    }

    /// <summary>5.2.9, revision 4.</summary>
    internal byte[] Fadt(ulong facs, ulong dsdt)
    {
        const ushort Base = Piix4PowerManagement.DefaultBase;
        byte[] fadt = new byte[244 - HeaderBytes];
        void Put8(int offset, byte value) => fadt[offset - HeaderBytes] = value;
        void Put16(int offset, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(fadt.AsSpan(offset - HeaderBytes), value);
        void Put32(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(fadt.AsSpan(offset - HeaderBytes), value);
        void Put64(int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(fadt.AsSpan(offset - HeaderBytes), value);

        // Generic address structure: system I/O.
        void PutPort(int offset, ushort port, byte bits, byte accessSize)
        {
            Put8(offset, 1);
            Put8(offset + 1, bits);
            Put8(offset + 3, accessSize);
            Put64(offset + 4, port);
        }

        Put32(36, (uint)facs);
        Put32(40, (uint)dsdt);
        Put8(45, 1);
        Put16(46, SciInterrupt);
        Put32(48, Piix4PowerManagement.SmiCommandPort);
        Put8(52, Piix4PowerManagement.AcpiEnable);
        Put8(53, Piix4PowerManagement.AcpiDisable);
        Put32(56, Base + Piix4PowerManagement.Pm1Event);
        Put32(64, Base + Piix4PowerManagement.Pm1Control);
        Put32(76, Base + Piix4PowerManagement.PmTimer);
        Put32(80, Base + Piix4PowerManagement.Gpe0);
        Put8(88, 4);
        Put8(89, 2);
        Put8(91, 4);
        Put8(92, 4);
        // No C2, no C3.
        Put16(96, 101);
        Put16(98, 1001);
        Put8(108, CmosRtc.CenturyIndex);
        // IAPC_BOOT_ARCH: legacy devices, 8042, no VGA.
        Put16(109, 0x0007);
        // WBINVD, PROC_C1, no sleep button, FIX_RTC, TMR_VAL_EXT, RESET_REG_SUP.
        Put32(112, 0x0000_0565);
        PutPort(116, 0xCF9, 8, 1);
        Put8(128, 0x06);
        Put64(132, facs);
        Put64(140, dsdt);
        PutPort(148, Base + Piix4PowerManagement.Pm1Event, 32, 2);
        PutPort(172, Base + Piix4PowerManagement.Pm1Control, 16, 2);
        PutPort(208, Base + Piix4PowerManagement.PmTimer, 32, 3);
        PutPort(220, Base + Piix4PowerManagement.Gpe0, 32, 1);
        return Table("FACP", 4, fadt);
    }

    /// <summary>5.2.12.</summary>
    internal byte[] Madt()
    {
        List<byte> madt = [.. Bytes32(0xFEE0_0000), .. Bytes32(1)];
        for (int i = 0; i < _processors; i++)
        {
            // Processor local APIC, enabled; APIC id and processor UID are the VP's index.
            madt.AddRange([0, 8, (byte)i, (byte)i, .. Bytes32(1)]);
        }

        madt.AddRange([1, 12, 0, 0, .. Bytes32((uint)IoApic.BaseGpa), .. Bytes32(0)]);
        // Interrupt source overrides: the timer, and the SCI as active high, level-triggered.
        madt.AddRange([2, 10, 0, 0, .. Bytes32(InterruptRouter.TimerGsi), 0, 0]);
        madt.AddRange([2, 10, 0, SciInterrupt, .. Bytes32(SciInterrupt), 0x0D, 0]);
        // NMI on LINT1 of all processors.
        madt.AddRange([4, 6, 0xFF, 0, 0, 1]);
        return Table("APIC", 3, [.. madt]);
    }

    /// <summary>Microsoft's "Windows ACPI Emulated Devices Table": one read of the PM timer is enough.</summary>
    internal byte[] Waet() => Table("WAET", 1, Bytes32(2));

    /// <summary>5.2.10: no header checksum.</summary>
    internal static byte[] Facs()
    {
        byte[] facs = new byte[64];
        "FACS"u8.CopyTo(facs);
        facs[4] = 64;
        facs[32] = 1;
        return facs;
    }

    /// <summary>5.2.6: puts the common header on a body.</summary>
    internal byte[] Table(string signature, byte revision, byte[] body)
    {
        byte[] table =
        [
            .. Ascii(signature, 4), .. Bytes32((uint)(HeaderBytes + body.Length)), revision, 0,
            .. Ascii(_identity.AcpiOemId, 6), .. Ascii(_identity.AcpiOemTableId, 8), .. Bytes32(0x0900_0812),
            .. Ascii(_identity.AcpiCreatorId, 4), .. Bytes32(0x97), .. body,
        ];
        table[9] = Checksum(table);
        return table;
    }

    private static byte Checksum(ReadOnlySpan<byte> bytes)
    {
        byte sum = 0;
        foreach (byte b in bytes)
        {
            sum += b;
        }

        return (byte)-sum;
    }

    private static byte[] Ascii(string text, int bytes) => Encoding.ASCII.GetBytes(text.PadRight(bytes)[..bytes]);

    private static byte[] Bytes32(uint value)
    {
        byte[] bytes = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        return bytes;
    }

    private static byte[] Bytes64(ulong value)
    {
        byte[] bytes = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        return bytes;
    }
}

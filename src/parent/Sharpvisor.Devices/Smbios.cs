// SMBIOS tables with a 2.x entry point, as Generation 1 firmware has (DMTF DSP0134 3.4; Linux finds "_SM_" by scanning
// 0xF0000 to 0xFFFFF, drivers/firmware/dmi_scan.c).
using System.Buffers.Binary;
using System.Text;
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Builds the structures and puts them into guest memory.</summary>
internal sealed class Smbios
{
    private const int EntryPointBytes = 31;
    private const int TableOffset = 0x20;

    private readonly List<byte> _table = [];
    private int _count;
    private int _largest;

    private Smbios(FirmwareIdentity identity, Guid uuid, int processors, ulong ramBytes)
    {
        // Type 0, 7.1: BIOS at 0xF000, PCI, upgradable; ACPI, virtual machine.
        Add(0, 0x0000, [1, 2, .. Word(0xF000), 3, 0xFF, .. Dword(0x0000_0890), .. Dword(0), 0x01, 0x10, 9, 0, 0xFF, 0xFF],
            identity.BiosVendor, identity.BiosVersion, identity.BiosDate);
        // Type 1, 7.2: wake-up by power switch.
        string serial = uuid.ToString("D").ToUpperInvariant();
        Add(1, 0x0001, [1, 2, 3, 4, .. uuid.ToByteArray(), 6, 5, 6],
            identity.Manufacturer, identity.Product, identity.Version, serial, "None", "Virtual Machine");
        // Type 2, 7.3: a motherboard that hosts.
        Add(2, 0x0002, [1, 2, 3, 4, 5, 0x01, 6, .. Word(0x0003), 0x0A, 0],
            identity.Manufacturer, identity.Product, identity.Version, serial, identity.AssetTag, "None");
        // Type 3, 7.4: desktop.
        Add(3, 0x0003, [1, 3, 2, 3, 4, 3, 3, 3, 2, .. Dword(0), 0, 0, 0, 0],
            identity.Manufacturer, identity.Version, serial, identity.AssetTag);
        for (int i = 0; i < processors; i++)
        {
            // Type 4, 7.5: central processor, enabled, one core; no cache structures.
            Add(4, (ushort)(0x0400 + i),
                [1, 3, 0x01, 2, .. new byte[8], 3, 0x80, .. Word(0), .. Word(1000), .. Word(1000), 0x41, 6,
                    .. Word(0xFFFF), .. Word(0xFFFF), .. Word(0xFFFF), 4, 4, 4, 1, 1, 1, .. Word(0x0004), .. Word(1)],
                $"CPU {i}", identity.Manufacturer, "None", "None");
        }

        AddMemory(ramBytes, identity);
        // Type 32, 7.33: no errors at boot. Type 127: end.
        Add(32, 0x2000, [.. new byte[6], 0]);
        Add(127, 0x7F00, []);
    }

    public static void Write(GuestMemory memory, FirmwareIdentity identity, Guid uuid, int processors)
    {
        var smbios = new Smbios(identity, uuid, processors, memory.LowRamBytes + memory.HighRamBytes);
        byte[] entry = smbios.EntryPoint((uint)PlatformLayout.SmbiosGpa + TableOffset);
        if (!memory.TryWrite(PlatformLayout.SmbiosGpa, entry)
            || !memory.TryWrite(PlatformLayout.SmbiosGpa + TableOffset, smbios._table.ToArray()))
        {
            throw new InvalidOperationException("SMBIOS tables do not fit");
        }
    }

    private void AddMemory(ulong ramBytes, FirmwareIdentity identity)
    {
        ulong mib = ramBytes >> 20;
        ulong kib = ramBytes >> 10;
        // Type 16, 7.17: system memory, no ECC, one device.
        Add(16, 0x1000, [0x03, 0x03, 0x03, .. Dword((uint)Math.Min(kib, 0x8000_0000)), .. Word(0xFFFE), .. Word(1), .. Qword(ramBytes)]);
        // Type 17, 7.18: from 32 GiB - 1 MiB on, the size is in the extended field.
        bool extended = mib >= 0x7FFF;
        Add(17, 0x1100,
            [.. Word(0x1000), .. Word(0xFFFE), .. Word(64), .. Word(64), .. Word(extended ? (ushort)0x7FFF : (ushort)mib),
                0x09, 0, 1, 2, 0x02, .. Word(0x0004), .. Word(0), 3, 4, 4, 4, 0, .. Dword(extended ? (uint)mib : 0), .. Word(0)],
            "M0", "None", identity.Manufacturer, "None");
        // Type 19, 7.20: the whole array from address 0.
        Add(19, 0x1300, [.. Dword(0), .. Dword((uint)Math.Min(kib - 1, 0xFFFF_FFFE)), .. Word(0x1000), 1, .. Qword(0), .. Qword(0)]);
    }

    private void Add(byte type, ushort handle, byte[] formatted, params string[] strings)
    {
        int start = _table.Count;
        _table.AddRange([type, (byte)(formatted.Length + 4), .. Word(handle), .. formatted]);
        foreach (string text in strings)
        {
            _table.AddRange([.. Encoding.ASCII.GetBytes(text), 0]);
        }

        // 6.1.3: the string set ends with a second null, and an empty one is two.
        _table.AddRange(strings.Length == 0 ? [0, 0] : [0]);
        _count++;
        _largest = Math.Max(_largest, _table.Count - start);
    }

    /// <summary>5.2.1.</summary>
    private byte[] EntryPoint(uint tableGpa)
    {
        byte[] entry = new byte[EntryPointBytes];
        "_SM_"u8.CopyTo(entry);
        entry[5] = EntryPointBytes;
        entry[6] = 2;
        entry[7] = 7;
        BinaryPrimitives.WriteUInt16LittleEndian(entry.AsSpan(8), (ushort)_largest);
        "_DMI_"u8.CopyTo(entry.AsSpan(16));
        BinaryPrimitives.WriteUInt16LittleEndian(entry.AsSpan(22), (ushort)_table.Count);
        BinaryPrimitives.WriteUInt32LittleEndian(entry.AsSpan(24), tableGpa);
        BinaryPrimitives.WriteUInt16LittleEndian(entry.AsSpan(28), (ushort)_count);
        entry[30] = 0x27;
        entry[21] = Checksum(entry.AsSpan(16, 15));
        entry[4] = Checksum(entry);
        return entry;
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

    private static byte[] Word(ushort value) => [(byte)value, (byte)(value >> 8)];

    private static byte[] Dword(uint value) => [.. Word((ushort)value), .. Word((ushort)(value >> 16))];

    private static byte[] Qword(ulong value) => [.. Dword((uint)value), .. Dword((uint)(value >> 32))];
}

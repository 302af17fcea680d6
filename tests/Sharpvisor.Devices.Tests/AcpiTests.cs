using System.Buffers.Binary;
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.Devices.Acpi;
using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class AcpiTests
{
    [Fact]
    public void Every_table_reachable_from_the_RSDP_has_a_good_checksum()
    {
        using var board = new TestBoard();
        board.Chipset.RunFirmware();
        Dictionary<string, byte[]> tables = ReadTables(board.Memory);

        Assert.Equal(["APIC", "DSDT", "FACP", "RSDT", "WAET", "XSDT"], tables.Keys.Order());
        Assert.All(tables.Values, t => Assert.Equal(0, t.Sum(b => b) & 0xFF));

        // Left for iasl when somebody wants to look.
        if (Environment.GetEnvironmentVariable("SHARPVISOR_DUMP_ACPI") is { Length: > 0 } folder)
        {
            foreach ((string name, byte[] table) in tables)
            {
                File.WriteAllBytes(Path.Combine(folder, name.ToLowerInvariant() + ".dat"), table);
            }
        }
    }

    [Fact]
    public void Memory_that_may_come_above_4_GiB_is_told_of_as_hot_pluggable()
    {
        var tables = new AcpiTables(FirmwareIdentity.HyperV, processors: 2, integration: true);
        byte[] srat = tables.Srat(512 << 20, 1UL << 30);
        Assert.Equal((48 + (2 * 16) + (3 * 40), 0), (srat.Length, srat.Sum(b => b) & 0xFF));
        Assert.Equal((512UL << 20, 1u), (BinaryPrimitives.ReadUInt64LittleEndian(srat.AsSpan(96)), BinaryPrimitives.ReadUInt32LittleEndian(srat.AsSpan(108))));
        Assert.Equal(
            (GuestMemory.HighRamBase, 1UL << 30, 3u),
            (BinaryPrimitives.ReadUInt64LittleEndian(srat.AsSpan(168)), BinaryPrimitives.ReadUInt64LittleEndian(srat.AsSpan(176)), BinaryPrimitives.ReadUInt32LittleEndian(srat.AsSpan(188))));
    }

    [Fact]
    public void FACS_is_64_byte_aligned_in_the_NVS_page()
    {
        using var board = new TestBoard();
        board.Chipset.RunFirmware();
        byte[] fadt = ReadTables(board.Memory)["FACP"];
        ulong facs = BinaryPrimitives.ReadUInt32LittleEndian(fadt.AsSpan(36));
        Assert.Equal(0UL, facs % 64);
        Assert.Equal(board.Memory.LowRamBytes - 4096, facs);
        Assert.True(board.Memory.TryRead(facs, out uint signature));
        Assert.Equal(0x5343_4146u, signature);
    }

    [Fact]
    public void VMBUS_is_in_the_namespace_only_with_integration()
    {
        using var with = new TestBoard(integration: true);
        using var without = new TestBoard(integration: false);
        with.Chipset.RunFirmware();
        without.Chipset.RunFirmware();
        Assert.Contains("VMBUS", Latin(ReadTables(with.Memory)["DSDT"]), StringComparison.Ordinal);
        Assert.DoesNotContain("VMBUS", Latin(ReadTables(without.Memory)["DSDT"]), StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_in_firmware_names_Microsoft_without_integration()
    {
        using var board = new TestBoard(integration: false);
        board.Chipset.RunFirmware();
        byte[] bios = new byte[PlatformLayout.BiosBytes];
        byte[] acpi = new byte[PlatformLayout.AcpiBytes];
        Assert.True(board.Memory.TryRead(PlatformLayout.BiosGpa, bios));
        Assert.True(board.Memory.TryRead(board.Memory.LowRamBytes - PlatformLayout.AcpiBytes, acpi));
        foreach (string word in new[] { "Microsoft", "MICROSFT", "MSFT", "VRTUAL", "WAET", "Hyper" })
        {
            Assert.DoesNotContain(word, Latin(bios), StringComparison.Ordinal);
            Assert.DoesNotContain(word, Latin(acpi), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void SMBIOS_with_integration_has_the_strings_that_ata_piix_looks_for()
    {
        using var board = new TestBoard();
        board.Chipset.RunFirmware();
        byte[] bios = new byte[0x10000];
        Assert.True(board.Memory.TryRead(PlatformLayout.SmbiosGpa, bios));
        Assert.Equal("_SM_", Latin(bios[..4]));
        Assert.Equal(0, bios.Take(bios[5]).Sum(b => b) & 0xFF);
        Assert.Equal(0, bios.Skip(16).Take(15).Sum(b => b) & 0xFF);
        Assert.Contains("Microsoft Corporation\0Virtual Machine\0", Latin(bios), StringComparison.Ordinal);
        if (Environment.GetEnvironmentVariable("SHARPVISOR_DUMP_ACPI") is { Length: > 0 } folder)
        {
            File.WriteAllBytes(Path.Combine(folder, "smbios.bin"), bios);
        }
    }

    [Fact]
    public void MADT_lists_every_processor_and_the_timer_override()
    {
        using var board = new TestBoard(processors: 4);
        board.Chipset.RunFirmware();
        byte[] madt = ReadTables(board.Memory)["APIC"];
        List<byte> ids = [];
        bool timer = false;
        for (int at = 44; at < madt.Length; at += madt[at + 1])
        {
            if (madt[at] == 0)
            {
                ids.Add(madt[at + 3]);
            }

            timer |= madt[at] == 2 && madt[at + 3] == 0 && madt[at + 4] == 2;
        }

        Assert.Equal([0, 1, 2, 3], ids);
        Assert.True(timer);
    }

    private static Dictionary<string, byte[]> ReadTables(GuestMemory memory)
    {
        Assert.True(memory.TryRead(PlatformLayout.RsdpGpa + 16, out uint rsdt));
        Assert.True(memory.TryRead(PlatformLayout.RsdpGpa + 24, out ulong xsdt));
        Dictionary<string, byte[]> tables = new()
        {
            ["RSDT"] = ReadTable(memory, rsdt),
            ["XSDT"] = ReadTable(memory, xsdt),
        };
        for (int at = 36; at < tables["XSDT"].Length; at += 8)
        {
            byte[] table = ReadTable(memory, BinaryPrimitives.ReadUInt64LittleEndian(tables["XSDT"].AsSpan(at)));
            tables[Latin(table[..4])] = table;
        }

        tables["DSDT"] = ReadTable(memory, BinaryPrimitives.ReadUInt32LittleEndian(tables["FACP"].AsSpan(40)));
        return tables;
    }

    private static byte[] ReadTable(GuestMemory memory, ulong gpa)
    {
        Assert.True(memory.TryRead(gpa + 4, out uint bytes));
        byte[] table = new byte[bytes];
        Assert.True(memory.TryRead(gpa, table));
        return table;
    }

    private static string Latin(byte[] bytes) => Encoding.Latin1.GetString(bytes);
}

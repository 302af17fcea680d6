// What the controller says about itself: identify data structures (NVMe 1.4, figures 245, 247, 249) and log pages (5.14.1).
using System.Buffers.Binary;
using System.Text;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Nvme;

internal static class NvmeIdentify
{
    public const int Bytes = 4096;
    public const int ErrorLog = 1;
    public const int HealthLog = 2;
    public const int FirmwareLog = 3;

    /// <summary>Kelvin.</summary>
    public const ushort WarningTemperature = 343;
    private const ushort CriticalTemperature = 353;
    private const ushort Temperature = 300;
    private const byte NguidType = 2;
    private const byte UuidType = 3;

    public static void Controller(Span<byte> data, Guid disk)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(data, 0x1414);
        BinaryPrimitives.WriteUInt16LittleEndian(data[2..], 0x1414);
        string id = disk.ToString("N");
        Text(data.Slice(4, 20), id[..20].ToUpperInvariant());
        Text(data.Slice(24, 40), "Sharpvisor NVMe disk");
        Text(data.Slice(64, 8), "1.0");
        // MDTS; VER 1.4; an I/O controller.
        data[77] = 8;
        BinaryPrimitives.WriteUInt32LittleEndian(data[80..], 0x0001_0400);
        data[111] = 1;
        // ACL, AERL: four of each. FRMW: one slot, read-only. LPA: offsets into log pages.
        data[258] = 3;
        data[259] = 3;
        data[260] = 3;
        data[261] = 4;
        BinaryPrimitives.WriteUInt16LittleEndian(data[266..], WarningTemperature);
        BinaryPrimitives.WriteUInt16LittleEndian(data[268..], CriticalTemperature);
        data[512] = 0x66;
        data[513] = 0x44;
        BinaryPrimitives.WriteUInt32LittleEndian(data[516..], 1);
        // ONCS: dataset management, write zeroes. VWC: there is a write cache.
        BinaryPrimitives.WriteUInt16LittleEndian(data[520..], (1 << 2) | (1 << 3));
        data[525] = 1;
        Encoding.ASCII.GetBytes($"nqn.2014-08.org.nvmexpress:uuid:{disk:D}", data[768..]);
    }

    public static void Namespace(Span<byte> data, IDisk disk)
    {
        long blocks = disk.Bytes / disk.LogicalSectorBytes;
        for (int i = 0; i < 3; i++)
        {
            // NSZE, NCAP, NUSE.
            BinaryPrimitives.WriteInt64LittleEndian(data[(i * 8)..], blocks);
        }

        // NSFEAT: thin. DLFEAT: deallocated blocks read as zeros, and write zeroes may deallocate. NSATTR: write protected.
        data[24] = 1;
        data[33] = 1 | (1 << 3);
        data[99] = disk.IsReadOnly ? (byte)1 : (byte)0;
        Nguid(data[104..], disk.Id);
        // LBAF0: LBADS.
        data[130] = (byte)int.Log2(disk.LogicalSectorBytes);
    }

    public static void Descriptors(Span<byte> data, Guid disk)
    {
        data[0] = NguidType;
        data[1] = 16;
        Nguid(data[4..], disk);
        data[20] = UuidType;
        data[21] = 16;
        _ = disk.TryWriteBytes(data[24..], bigEndian: true, out _);
    }

    public static void Health(Span<byte> page, NvmeCounters counters)
    {
        // Thousands of 512 bytes, rounded up.
        const long Unit = 512_000;
        BinaryPrimitives.WriteUInt16LittleEndian(page[1..], Temperature);
        page[3] = 100;
        page[4] = 10;
        BinaryPrimitives.WriteInt64LittleEndian(page[32..], (counters.BytesRead.Value + Unit - 1) / Unit);
        BinaryPrimitives.WriteInt64LittleEndian(page[48..], (counters.BytesWritten.Value + Unit - 1) / Unit);
    }

    public static void Firmware(Span<byte> page)
    {
        page[0] = 1;
        Text(page.Slice(8, 8), "1.0");
    }

    // An identifier of our own making: no IEEE company has assigned it.
    private static void Nguid(Span<byte> data, Guid disk) => _ = disk.TryWriteBytes(data, bigEndian: true, out _);

    private static void Text(Span<byte> field, string text)
    {
        field.Fill((byte)' ');
        Encoding.ASCII.GetBytes(text, field);
    }
}

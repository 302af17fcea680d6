// A minimal ISO 9660 image (ECMA-119): one volume descriptor, one root directory, files in it. No path tables: Linux's isofs reads none.
using System.Buffers.Binary;
using System.Text;

namespace Sharpvisor.Worker.Tests.Guests;

internal static class IsoImage
{
    private const int Sector = 2048;
    private const int RootSector = 18;

    public static byte[] Create(params (string Name, byte[] Content)[] files)
    {
        int sectors = RootSector + 1 + files.Sum(f => SectorsOf(f.Content));
        byte[] image = new byte[sectors * Sector];
        Span<byte> volume = image.AsSpan(16 * Sector);
        volume[0] = 1;
        "CD001"u8.CopyTo(volume[1..]);
        volume[6] = 1;
        Encoding.ASCII.GetBytes("SHARPVISOR".PadRight(32)).CopyTo(volume[40..]);
        Both32(volume[80..], (uint)sectors);
        Both16(volume[120..], 1);
        Both16(volume[124..], 1);
        Both16(volume[128..], Sector);
        _ = Record(volume[156..], RootSector, Sector, isDirectory: true, [0]);
        volume[881] = 1;
        Span<byte> terminator = image.AsSpan(17 * Sector);
        terminator[0] = 255;
        "CD001"u8.CopyTo(terminator[1..]);
        terminator[6] = 1;

        Span<byte> root = image.AsSpan(RootSector * Sector, Sector);
        int at = Record(root, RootSector, Sector, isDirectory: true, [0]);
        at += Record(root[at..], RootSector, Sector, isDirectory: true, [1]);
        int next = RootSector + 1;
        foreach ((string name, byte[] content) in files)
        {
            at += Record(root[at..], next, content.Length, isDirectory: false, Encoding.ASCII.GetBytes(name + ";1"));
            content.CopyTo(image, next * Sector);
            next += SectorsOf(content);
        }

        return image;
    }

    private static int SectorsOf(byte[] content) => (content.Length + Sector - 1) / Sector;

    /// <summary>ECMA-119 9.1; returns its length.</summary>
    private static int Record(Span<byte> record, int sector, int bytes, bool isDirectory, ReadOnlySpan<byte> name)
    {
        int length = (33 + name.Length + 1) & ~1;
        record[0] = (byte)length;
        Both32(record[2..], (uint)sector);
        Both32(record[10..], (uint)bytes);
        ((ReadOnlySpan<byte>)[126, 1, 1, 0, 0, 0, 0]).CopyTo(record[18..]);
        record[25] = (byte)(isDirectory ? 2 : 0);
        Both16(record[28..], 1);
        record[32] = (byte)name.Length;
        name.CopyTo(record[33..]);
        return length;
    }

    // 7.2.3 and 7.3.3: in both byte orders.
    private static void Both16(Span<byte> at, ushort value)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(at, value);
        BinaryPrimitives.WriteUInt16BigEndian(at[2..], value);
    }

    private static void Both32(Span<byte> at, uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(at, value);
        BinaryPrimitives.WriteUInt32BigEndian(at[4..], value);
    }
}

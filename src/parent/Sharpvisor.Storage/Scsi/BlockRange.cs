// Where a block command's LBA and transfer length are in its CDB: SBC-3 5 (READ, WRITE, VERIFY, SYNCHRONIZE CACHE, WRITE SAME).
using System.Buffers.Binary;

namespace Sharpvisor.Storage.Scsi;

internal readonly record struct BlockRange(ulong Lba, uint Blocks)
{
    /// <summary>Decodes by the length of the operation code's group (SPC-4 4.3.5.1).</summary>
    public static BlockRange Of(ReadOnlySpan<byte> cdb) => (cdb[0] >> 5) switch
    {
        // SBC-3 5.7: 21 bits of LBA, and 0 means 256 blocks.
        0 => new BlockRange(
            BinaryPrimitives.ReadUInt32BigEndian(cdb) & 0x1FFFFF,
            cdb[4] == 0 ? 256u : cdb[4]),
        1 or 2 => new BlockRange(
            BinaryPrimitives.ReadUInt32BigEndian(cdb[2..]),
            BinaryPrimitives.ReadUInt16BigEndian(cdb[7..])),
        4 => new BlockRange(
            BinaryPrimitives.ReadUInt64BigEndian(cdb[2..]),
            BinaryPrimitives.ReadUInt32BigEndian(cdb[10..])),
        _ => new BlockRange(
            BinaryPrimitives.ReadUInt32BigEndian(cdb[2..]),
            BinaryPrimitives.ReadUInt32BigEndian(cdb[6..])),
    };

    /// <summary>Whether the range lies on a disk of so many blocks.</summary>
    public bool IsInside(ulong totalBlocks) => Lba <= totalBlocks && Blocks <= totalBlocks - Lba;
}

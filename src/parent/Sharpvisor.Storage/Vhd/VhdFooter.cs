// The hard disk footer of a VHD ("Virtual Hard Disk Image Format Specification", Microsoft 2006, "Hard Disk Footer Format").
using System.Buffers.Binary;

namespace Sharpvisor.Storage.Vhd;

internal readonly record struct VhdFooter(uint DiskType, long CurrentBytes, Guid UniqueId, bool IsChecksumValid)
{
    public const int Bytes = 512;
    public const uint Fixed = 2;
    public const uint Dynamic = 3;
    public const uint Differencing = 4;

    private const int CurrentSizeOffset = 48;
    private const int DiskTypeOffset = 60;
    private const int ChecksumOffset = 64;
    private const int UniqueIdOffset = 68;

    public static bool HasCookie(ReadOnlySpan<byte> footer) => footer[..8].SequenceEqual("conectix"u8);

    public static VhdFooter Parse(ReadOnlySpan<byte> footer) => new(
        BinaryPrimitives.ReadUInt32BigEndian(footer[DiskTypeOffset..]),
        BinaryPrimitives.ReadInt64BigEndian(footer[CurrentSizeOffset..]),
        new Guid(footer.Slice(UniqueIdOffset, 16)),
        Checksum(footer) == BinaryPrimitives.ReadUInt32BigEndian(footer[ChecksumOffset..]));

    /// <summary>One's complement of the sum of all bytes but the checksum's own.</summary>
    public static uint Checksum(ReadOnlySpan<byte> footer)
    {
        uint sum = 0;
        for (int i = 0; i < Bytes; i++)
        {
            sum += i is >= ChecksumOffset and < ChecksumOffset + 4 ? 0u : footer[i];
        }

        return ~sum;
    }
}

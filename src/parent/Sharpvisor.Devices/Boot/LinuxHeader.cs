// The setup header of a bzImage (Linux Documentation/x86/boot.rst, "Details of Header Fields").
using System.Buffers.Binary;

namespace Sharpvisor.Devices.Boot;

/// <summary>The validated fields of a kernel's setup header.</summary>
internal sealed record LinuxHeader
{
    public const int MagicOffset = 0x202;
    public const uint Magic = 0x5372_6448;

    /// <summary>Up to and including init_size.</summary>
    public const int MinimumBytes = 0x264;

    private const int HeaderOffset = 0x1F1;
    private const int SectorBytes = 512;
    private const ushort Protocol212 = 0x020C;
    private const ushort Kernel64 = 1;
    private const ushort Above4G = 2;

    public required int PayloadOffset { get; init; }

    public required ulong PreferredAddress { get; init; }

    public required ulong InitBytes { get; init; }

    public required ulong Alignment { get; init; }

    public required bool IsRelocatable { get; init; }

    public required bool CanLoadAbove4G { get; init; }

    public required uint InitrdAddressMax { get; init; }

    public required uint CommandLineLimit { get; init; }

    public static LinuxHeader Parse(BootFile file)
    {
        ReadOnlySpan<byte> bytes = file.Content.Span;
        if (bytes.Length == 0)
        {
            throw new BootException($"{file.Name}: the file is empty");
        }

        if (!LinuxBootLoader.IsLinux(bytes))
        {
            throw new BootException(bytes.Length < MinimumBytes
                ? $"{file.Name}: too short to be a kernel ({bytes.Length} bytes)"
                : $"{file.Name}: not a Linux kernel (no bzImage header) and not a multiboot image");
        }

        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(bytes[0x206..]);
        ushort loadFlags64 = BinaryPrimitives.ReadUInt16LittleEndian(bytes[0x236..]);
        if (version < Protocol212 || (loadFlags64 & Kernel64) == 0)
        {
            throw new BootException(
                $"{file.Name}: not a 64-bit kernel that can be booted directly (boot protocol {version >> 8}.{version & 0xFF:d2})");
        }

        int setupSectors = bytes[HeaderOffset] == 0 ? 4 : bytes[HeaderOffset];
        int payload = (setupSectors + 1) * SectorBytes;
        ulong imageBytes = (ulong)BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x1F4..]) * 16;
        if ((ulong)bytes.Length < (ulong)payload + imageBytes || imageBytes <= 0x200)
        {
            throw new BootException(
                $"{file.Name}: the kernel is truncated: {bytes.Length} bytes of {(ulong)payload + imageBytes}");
        }

        uint alignment = BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x230..]);
        uint initBytes = BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x260..]);
        if (alignment == 0 || (alignment & (alignment - 1)) != 0)
        {
            throw new BootException($"{file.Name}: the kernel's header is damaged (kernel_alignment 0x{alignment:x})");
        }

        return new LinuxHeader
        {
            PayloadOffset = payload,
            PreferredAddress = BinaryPrimitives.ReadUInt64LittleEndian(bytes[0x258..]),
            InitBytes = Math.Max(initBytes, (ulong)(bytes.Length - payload)),
            Alignment = alignment,
            IsRelocatable = bytes[0x234] != 0,
            CanLoadAbove4G = (loadFlags64 & Above4G) != 0,
            InitrdAddressMax = BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x22C..]),
            CommandLineLimit = BinaryPrimitives.ReadUInt32LittleEndian(bytes[0x238..]) is var limit and > 0 and < 0x1_0000 ? limit : 255,
        };
    }

    /// <summary>Copies the setup header into a zero page: it ends at 0x202 plus the byte at 0x201.</summary>
    public static void CopyTo(ReadOnlySpan<byte> file, Span<byte> zeroPage)
    {
        int end = Math.Min(MagicOffset + file[0x201], 0x290);
        file[HeaderOffset..end].CopyTo(zeroPage[HeaderOffset..]);
    }
}

// Opens a disk image by what it contains, not by its name. Formats: raw; fixed VHD ("Virtual Hard Disk Image Format
// Specification", Microsoft 2006); ISO 9660 (ECMA-119); VHDX (MS-VHDX) and growing VHDs are recognised and refused.
using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Sharpvisor.Core;
using Sharpvisor.Core.Interop;
using Sharpvisor.Storage.Vhd;

namespace Sharpvisor.Storage;

/// <summary>Opens disk images.</summary>
public static class DiskImage
{
    /// <summary>Sector size of a hard disk.</summary>
    public const int DiskSectorBytes = 512;

    /// <summary>Sector size of a CD or DVD.</summary>
    public const int OpticalSectorBytes = 2048;

    // ECMA-119 8.1: the first volume descriptor is in sector 16; its standard identifier follows the type byte.
    private const long IsoIdentifierOffset = (16 * OpticalSectorBytes) + 1;

    /// <summary>Opens an image and locks it for as long as the disk lives: exclusively, or shared with other readers when read-only.</summary>
    /// <exception cref="DiskException">It cannot be used, for the reason in the message.</exception>
    /// <remarks>An ISO 9660 image comes back read-only with sectors of 2048 bytes, whatever was asked for.</remarks>
    public static IDisk Open(string path, bool readOnly)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        // Nobody writes to an ISO image: it needs no permission to, and VMs share it.
        readOnly = readOnly || IsIso(path);
        SafeFileHandle file = OpenFile(path, readOnly);
        try
        {
            return Recognise(file, path, readOnly);
        }
        catch (Exception e) when (e is IOException or NotSupportedException)
        {
            file.Dispose();
            throw new DiskException($"disk '{path}': cannot be read: {e.Message}", e);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Opens any file as a read-only medium of 2048-byte sectors, for a DVD drive.</summary>
    /// <exception cref="DiskException">It cannot be used, for the reason in the message.</exception>
    public static IDisk OpenIso(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        SafeFileHandle file = OpenFile(path, readOnly: true);
        try
        {
            TakeLock(file, path, readOnly: true);
            return Iso(file, path, RandomAccess.GetLength(file));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static bool IsIso(string path)
    {
        try
        {
            using SafeFileHandle file = OpenFile(path, readOnly: true);
            return HasIsoIdentifier(file);
        }
        catch (Exception e) when (e is DiskException or IOException or NotSupportedException)
        {
            // Opening it in earnest says why.
            return false;
        }
    }

    private static bool HasIsoIdentifier(SafeFileHandle file)
    {
        Span<byte> identifier = stackalloc byte[5];
        return RandomAccess.Read(file, identifier, IsoIdentifierOffset) == 5 && identifier.SequenceEqual("CD001"u8);
    }

    private static SafeFileHandle OpenFile(string path, bool readOnly)
    {
        try
        {
            if (Directory.Exists(path))
            {
                throw new DiskException($"disk '{path}': is a directory");
            }

            // FileShare.ReadWrite: no lock of the class library's own; ours is taken below. Async is not for regular files on Linux.
            return File.OpenHandle(
                path, FileMode.Open, readOnly ? FileAccess.Read : FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new DiskException($"disk '{path}': no such file", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new DiskException(
                $"disk '{path}': no permission to {(readOnly ? "read" : "read and write")} it", e);
        }
        catch (Exception e) when (e is IOException or NotSupportedException or ArgumentException)
        {
            throw new DiskException($"disk '{path}': cannot be opened: {e.Message}", e);
        }
    }

    private static RawDisk Recognise(SafeFileHandle file, string path, bool readOnly)
    {
        TakeLock(file, path, readOnly);
        long length = RandomAccess.GetLength(file);
        Span<byte> head = stackalloc byte[8];
        if (RandomAccess.Read(file, head, 0) == 8 && head.SequenceEqual("vhdxfile"u8))
        {
            throw new DiskException($"disk '{path}': VHDX images are not supported yet; convert it to a fixed VHD or a raw image");
        }

        if (TryOpenVhd(file, path, length, readOnly, out RawDisk? vhd))
        {
            return vhd!;
        }

        if (readOnly && HasIsoIdentifier(file))
        {
            return Iso(file, path, length);
        }

        if (length == 0)
        {
            throw new DiskException($"disk '{path}': is empty");
        }

        if (length % DiskSectorBytes != 0)
        {
            throw new DiskException($"disk '{path}': its size, {length} bytes, is not a multiple of {DiskSectorBytes}");
        }

        // 512e where it fits, so that guests align their partitions and file systems to the host's pages.
        int physical = length % 4096 == 0 ? 4096 : DiskSectorBytes;
        return new RawDisk(file, new DiskGeometry(length, DiskSectorBytes, physical, IdOf(path)), readOnly);
    }

    private static bool TryOpenVhd(SafeFileHandle file, string path, long length, bool readOnly, out RawDisk? disk)
    {
        disk = null;
        Span<byte> bytes = stackalloc byte[VhdFooter.Bytes];
        if (length < VhdFooter.Bytes || RandomAccess.Read(file, bytes, length - VhdFooter.Bytes) != VhdFooter.Bytes
            || !VhdFooter.HasCookie(bytes))
        {
            return false;
        }

        VhdFooter footer = VhdFooter.Parse(bytes);
        if (!footer.IsChecksumValid)
        {
            throw new DiskException($"disk '{path}': its VHD footer is damaged (wrong checksum)");
        }

        if (footer.DiskType is VhdFooter.Dynamic or VhdFooter.Differencing)
        {
            string kind = footer.DiskType == VhdFooter.Dynamic ? "dynamic" : "differencing";
            throw new DiskException($"disk '{path}': {kind} VHDs are not supported yet; convert it to a fixed VHD or a raw image");
        }

        if (footer.DiskType != VhdFooter.Fixed)
        {
            throw new DiskException($"disk '{path}': its VHD footer names an unknown disk type, {footer.DiskType}");
        }

        if (footer.CurrentBytes is <= 0 || footer.CurrentBytes % DiskSectorBytes != 0
            || footer.CurrentBytes > length - VhdFooter.Bytes)
        {
            throw new DiskException(
                $"disk '{path}': is truncated: its VHD footer promises {footer.CurrentBytes} bytes, the file holds {length - VhdFooter.Bytes}");
        }

        disk = new RawDisk(
            file, new DiskGeometry(footer.CurrentBytes, DiskSectorBytes, DiskSectorBytes, footer.UniqueId), readOnly);
        return true;
    }

    private static RawDisk Iso(SafeFileHandle file, string path, long length)
    {
        // Images whose last sector is cut short exist; the missing bytes do not, so neither does that sector.
        long whole = length - (length % OpticalSectorBytes);
        return whole > 0
            ? new RawDisk(file, new DiskGeometry(whole, OpticalSectorBytes, OpticalSectorBytes, IdOf(path)), isReadOnly: true)
            : throw new DiskException($"disk '{path}': is empty");
    }

    private static void TakeLock(SafeFileHandle file, string path, bool readOnly)
    {
        if (!HostFile.TryLock(file, exclusive: !readOnly))
        {
            throw new DiskException($"disk '{path}': is in use by another VM");
        }
    }

    // A raw image carries no identity of its own; its path gives a stable one.
    private static Guid IdOf(string path) =>
        new(SHA256.HashData(Encoding.UTF8.GetBytes(Path.GetFullPath(path))).AsSpan(0, 16));
}

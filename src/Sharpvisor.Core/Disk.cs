// A disk as controllers and VSPs see it, whatever its format.
namespace Sharpvisor.Core;

/// <summary>How a disk request ended; a guest sees it as sense data or an ATA error, never as an exception here.</summary>
public enum DiskStatus
{
    Success,
    /// <summary>Beyond the end of the disk.</summary>
    OutOfRange,
    /// <summary>The host could not read (unreadable medium error).</summary>
    ReadError,
    /// <summary>The host could not write or flush (for example: file system full).</summary>
    WriteError,
    /// <summary>A write to a read-only disk.</summary>
    WriteProtected,
}

/// <summary>A block device. Offsets and lengths are bytes and multiples of <see cref="LogicalSectorBytes"/>. Thread-safe.</summary>
public interface IDisk : IDisposable
{
    long Bytes { get; }

    int LogicalSectorBytes { get; }

    int PhysicalSectorBytes { get; }

    bool IsReadOnly { get; }

    /// <summary>Stable identity of the disk (VPD page 0x83, ATA serial number), for example a VHD's unique id.</summary>
    Guid Id { get; }

    /// <summary>Fills the buffers in order from one contiguous extent.</summary>
    ValueTask<DiskStatus> ReadAsync(long offset, IReadOnlyList<Memory<byte>> buffers);

    ValueTask<DiskStatus> WriteAsync(long offset, IReadOnlyList<ReadOnlyMemory<byte>> buffers);

    /// <summary>Returns when everything written before is on stable storage (fdatasync).</summary>
    ValueTask<DiskStatus> FlushAsync();

    /// <summary>Deallocates an extent (punches a hole); it reads as zeros afterwards.</summary>
    ValueTask<DiskStatus> UnmapAsync(long offset, long bytes);
}

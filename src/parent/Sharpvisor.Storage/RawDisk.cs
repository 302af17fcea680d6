// A disk whose bytes are a file's bytes from 0 on: raw images, fixed VHDs, ISO images. What a guest has been told is written
// is in the host's page cache, so it survives the death of this process; a flush takes it to the medium (fdatasync).
using Microsoft.Win32.SafeHandles;
using Sharpvisor.Core;
using Sharpvisor.Core.Interop;

namespace Sharpvisor.Storage;

/// <summary>A file as a disk.</summary>
internal sealed class RawDisk : IDisk
{
    // Above this a cached read's copying would hold up the caller, which may be a VP, longer than a thread switch does.
    private const long InlineReadBytes = 256 * 1024;
    private const int ZeroBytes = 64 * 1024;

    private static readonly byte[] s_zeros = new byte[ZeroBytes];

    private readonly SafeFileHandle _file;
    private readonly DiskGeometry _geometry;
    private readonly DiskRequestPool _requests;

    /// <summary>Takes ownership of the handle.</summary>
    public RawDisk(SafeFileHandle file, DiskGeometry geometry, bool isReadOnly)
    {
        _file = file;
        _geometry = geometry;
        IsReadOnly = isReadOnly;
        _requests = new DiskRequestPool(this);
    }

    /// <inheritdoc/>
    public long Bytes => _geometry.Bytes;

    /// <inheritdoc/>
    public int LogicalSectorBytes => _geometry.LogicalSectorBytes;

    /// <inheritdoc/>
    public int PhysicalSectorBytes => _geometry.PhysicalSectorBytes;

    /// <inheritdoc/>
    public bool IsReadOnly { get; }

    /// <inheritdoc/>
    public Guid Id => _geometry.Id;

    /// <inheritdoc/>
    public ValueTask<DiskStatus> ReadAsync(long offset, IReadOnlyList<Memory<byte>> buffers)
    {
        ArgumentNullException.ThrowIfNull(buffers);
        long bytes = LengthOf(buffers);
        if (!IsInside(offset, bytes))
        {
            return new ValueTask<DiskStatus>(DiskStatus.OutOfRange);
        }

        long done = 0;
        if (bytes <= InlineReadBytes)
        {
            // What the page cache holds is had without waiting: no reason to pay for a switch to another thread.
            done = Math.Max(0, HostFile.Read(_file, buffers, 0, offset, noWait: true));
            if (done == bytes)
            {
                return new ValueTask<DiskStatus>(DiskStatus.Success);
            }
        }

        return _requests.Rent().Start(DiskOperation.Read, offset, bytes, buffers, null, done);
    }

    /// <inheritdoc/>
    public ValueTask<DiskStatus> WriteAsync(long offset, IReadOnlyList<ReadOnlyMemory<byte>> buffers)
    {
        ArgumentNullException.ThrowIfNull(buffers);
        long bytes = LengthOf(buffers);
        if (IsReadOnly)
        {
            return new ValueTask<DiskStatus>(DiskStatus.WriteProtected);
        }

        return IsInside(offset, bytes)
            ? _requests.Rent().Start(DiskOperation.Write, offset, bytes, null, buffers, 0)
            : new ValueTask<DiskStatus>(DiskStatus.OutOfRange);
    }

    /// <inheritdoc/>
    public ValueTask<DiskStatus> FlushAsync() =>
        IsReadOnly
            ? new ValueTask<DiskStatus>(DiskStatus.Success)
            : _requests.Rent().Start(DiskOperation.Flush, 0, 0, null, null, 0);

    /// <inheritdoc/>
    public ValueTask<DiskStatus> UnmapAsync(long offset, long bytes)
    {
        if (IsReadOnly)
        {
            return new ValueTask<DiskStatus>(DiskStatus.WriteProtected);
        }

        return IsInside(offset, bytes)
            ? _requests.Rent().Start(DiskOperation.Unmap, offset, bytes, null, null, 0)
            : new ValueTask<DiskStatus>(DiskStatus.OutOfRange);
    }

    /// <summary>
    /// Releases the file and with it the lock, when requests under way have ended: their buffers are guest memory, which may go
    /// away next. The caller starts no more.
    /// </summary>
    public void Dispose()
    {
        Writer.DrainOwn();
        _requests.WaitUntilIdle();
        Writer.Stop();
        _file.Dispose();
    }

    internal DiskWriter Writer { get; } = new();

    internal DiskStatus Read(long offset, long bytes, IReadOnlyList<Memory<byte>> buffers, long done)
    {
        while (done < bytes)
        {
            long result = HostFile.Read(_file, buffers, done, offset + done, noWait: false);
            if (result == -HostFile.EINTR)
            {
                continue;
            }

            // 0: somebody cut the file short under us.
            if (result <= 0)
            {
                return DiskStatus.ReadError;
            }

            done += result;
        }

        return DiskStatus.Success;
    }

    internal DiskStatus Write(long offset, long bytes, IReadOnlyList<ReadOnlyMemory<byte>> buffers)
    {
        long done = 0;
        while (done < bytes)
        {
            long result = HostFile.Write(_file, buffers, done, offset + done);
            if (result == -HostFile.EINTR)
            {
                continue;
            }

            if (result <= 0)
            {
                return DiskStatus.WriteError;
            }

            done += result;
        }

        return DiskStatus.Success;
    }

    internal DiskStatus Flush() => HostFile.FlushData(_file) == 0 ? DiskStatus.Success : DiskStatus.WriteError;

    internal DiskStatus Unmap(long offset, long bytes)
    {
        if (bytes == 0)
        {
            return DiskStatus.Success;
        }

        int result = HostFile.PunchHole(_file, offset, bytes);
        return result == 0 ? DiskStatus.Success
            : result == -HostFile.EOPNOTSUPP ? WriteZeros(offset, bytes)
            : DiskStatus.WriteError;
    }

    // File systems without holes: the extent must still read as zeros.
    private DiskStatus WriteZeros(long offset, long bytes)
    {
        var buffers = new ReadOnlyMemory<byte>[1];
        for (long done = 0; done < bytes; done += ZeroBytes)
        {
            int chunk = (int)Math.Min(ZeroBytes, bytes - done);
            buffers[0] = s_zeros.AsMemory(0, chunk);
            DiskStatus status = Write(offset + done, chunk, buffers);
            if (status != DiskStatus.Success)
            {
                return status;
            }
        }

        return DiskStatus.Success;
    }

    private bool IsInside(long offset, long bytes) =>
        offset >= 0 && bytes >= 0 && offset <= Bytes && bytes <= Bytes - offset;

    private static long LengthOf(IReadOnlyList<Memory<byte>> buffers)
    {
        if (buffers is SegmentList list)
        {
            return list.Bytes;
        }

        long bytes = 0;
        for (int i = 0; i < buffers.Count; i++)
        {
            bytes += buffers[i].Length;
        }

        return bytes;
    }

    private static long LengthOf(IReadOnlyList<ReadOnlyMemory<byte>> buffers)
    {
        if (buffers is SegmentList list)
        {
            return list.Bytes;
        }

        long bytes = 0;
        for (int i = 0; i < buffers.Count; i++)
        {
            bytes += buffers[i].Length;
        }

        return bytes;
    }
}

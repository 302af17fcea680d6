// Host file operations the .NET class library does not have, or has only with exceptions: vectored positional I/O with its
// errno, hole punching and whole-file locks (preadv2(2), fallocate(2), fcntl(2) F_OFD_SETLK).
using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Sharpvisor.Core.Interop;

/// <summary>Safe wrappers: every call returns a count or a negated errno, and takes managed buffers.</summary>
public static unsafe partial class HostFile
{
    public const int EINTR = 4;
    public const int EAGAIN = 11;
    public const int ENOSPC = 28;
    public const int EOPNOTSUPP = 95;

    private const int F_OFD_SETLK = 37;
    private const short F_RDLCK = 0;
    private const short F_WRLCK = 1;
    private const int FALLOC_FL_KEEP_SIZE = 1;
    private const int FALLOC_FL_PUNCH_HOLE = 2;
    private const int RWF_NOWAIT = 8;

    // A 256 KiB request of scattered guest pages has 65 segments; longer ones take another call.
    private const int MaxVectors = 66;

    /// <summary>Takes a lock on the whole file that lasts while the handle (or a duplicate) is open, whatever happens to the process.</summary>
    /// <returns>False when another open file holds a conflicting lock.</returns>
    /// <remarks>An open file description lock, not flock(2): the class library takes those itself on every file it opens.</remarks>
    public static bool TryLock(SafeFileHandle file, bool exclusive)
    {
        // Start 0, length 0: all of it, however long it gets.
        var request = new FileLock { Type = exclusive ? F_WRLCK : F_RDLCK };
        return fcntl(file, F_OFD_SETLK, &request) == 0;
    }

    /// <summary>Deallocates a byte range, which then reads as zeros; the file keeps its size. 0 or a negated errno.</summary>
    public static int PunchHole(SafeFileHandle file, long offset, long bytes) =>
        fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes) == 0 ? 0 : -Marshal.GetLastPInvokeError();

    /// <summary>fdatasync(2): 0 or a negated errno.</summary>
    public static int FlushData(SafeFileHandle file) => fdatasync(file) == 0 ? 0 : -Marshal.GetLastPInvokeError();

    /// <summary>Reads from <paramref name="offset"/> into the buffers, from their byte <paramref name="skip"/> on: one system call, possibly short.</summary>
    /// <remarks>With <paramref name="noWait"/> it fails with EAGAIN rather than wait for the medium: only what the page cache holds.</remarks>
    /// <returns>Bytes read (0 at the end of the file) or a negated errno.</returns>
    public static long Read(SafeFileHandle file, IReadOnlyList<Memory<byte>> buffers, long skip, long offset, bool noWait)
    {
        ArgumentNullException.ThrowIfNull(buffers);
        Unsafe.SkipInit(out HandleArray pins);
        IoVector* vectors = stackalloc IoVector[MaxVectors];
        int count = 0;
        for (int i = 0; i < buffers.Count && count < MaxVectors; i++)
        {
            Memory<byte> buffer = buffers[i];
            if (skip >= buffer.Length)
            {
                skip -= buffer.Length;
                continue;
            }

            // SAFETY: pinned until after the call, and never longer than the memory behind it.
            pins[count] = buffer.Pin();
            vectors[count] = new IoVector((byte*)pins[count].Pointer + skip, (nuint)(buffer.Length - skip));
            count++;
            skip = 0;
        }

        nint done = preadv2(file, vectors, count, offset, noWait ? RWF_NOWAIT : 0);
        long result = done >= 0 ? done : -Marshal.GetLastPInvokeError();
        Unpin(ref pins, count);
        return result;
    }

    /// <summary>Writes to <paramref name="offset"/> from the buffers, from their byte <paramref name="skip"/> on: one system call, possibly short.</summary>
    /// <returns>Bytes written or a negated errno.</returns>
    public static long Write(SafeFileHandle file, IReadOnlyList<ReadOnlyMemory<byte>> buffers, long skip, long offset)
    {
        ArgumentNullException.ThrowIfNull(buffers);
        Unsafe.SkipInit(out HandleArray pins);
        IoVector* vectors = stackalloc IoVector[MaxVectors];
        int count = 0;
        for (int i = 0; i < buffers.Count && count < MaxVectors; i++)
        {
            ReadOnlyMemory<byte> buffer = buffers[i];
            if (skip >= buffer.Length)
            {
                skip -= buffer.Length;
                continue;
            }

            // SAFETY: as in Read.
            pins[count] = buffer.Pin();
            vectors[count] = new IoVector((byte*)pins[count].Pointer + skip, (nuint)(buffer.Length - skip));
            count++;
            skip = 0;
        }

        nint done = pwritev(file, vectors, count, offset);
        long result = done >= 0 ? done : -Marshal.GetLastPInvokeError();
        Unpin(ref pins, count);
        return result;
    }

    private static void Unpin(ref HandleArray pins, int count)
    {
        for (int i = 0; i < count; i++)
        {
            pins[i].Dispose();
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fcntl(SafeFileHandle fd, int command, FileLock* argument);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fallocate(SafeFileHandle fd, int mode, long offset, long length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fdatasync(SafeFileHandle fd);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint preadv2(SafeFileHandle fd, IoVector* vectors, int count, long offset, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint pwritev(SafeFileHandle fd, IoVector* vectors, int count, long offset);

    /// <summary>struct flock.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct FileLock
    {
        public short Type;
        public short Whence;
        public long Start;
        public long Length;
        public int Pid;
    }

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly struct IoVector(byte* address, nuint length)
    {
        public readonly byte* Address = address;
        public readonly nuint Length = length;
    }

    [InlineArray(MaxVectors)]
    private struct HandleArray
    {
        private MemoryHandle _first;
    }
}

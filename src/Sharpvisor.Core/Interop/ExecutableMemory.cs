// Memory for generated host code: one memfd mapped twice, writable at one address and executable at another, so that no
// mapping is ever both.
namespace Sharpvisor.Core.Interop;

/// <summary>A dual mapping. The same offset in both views is the same byte.</summary>
public sealed unsafe class ExecutableMemory : IDisposable
{
    private const int ProtExec = 4;

    /// <param name="bytes">Size of the mapping; pages are backed when first written.</param>
    /// <exception cref="IOException">The host refuses executable memory.</exception>
    public ExecutableMemory(int bytes)
    {
        Bytes = bytes;

        // SAFETY: both mappings are checked, and released only in Dispose.
        int fd = Libc.memfd_create("sharpvisor-code", Libc.MFD_CLOEXEC);
        if (fd < 0 || Libc.ftruncate(fd, bytes) != 0)
        {
            throw new IOException("cannot create memory for translated code");
        }

        void* writable = Libc.mmap(
            null, (nuint)bytes, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_SHARED | Libc.MAP_NORESERVE, fd, 0);
        void* executable = Libc.mmap(
            null, (nuint)bytes, Libc.PROT_READ | ProtExec, Libc.MAP_SHARED | Libc.MAP_NORESERVE, fd, 0);
        _ = Libc.close(fd);
        if ((nint)writable == -1 || (nint)executable == -1)
        {
            throw new IOException("cannot map memory for translated code");
        }

        Writable = (byte*)writable;
        Executable = (byte*)executable;
    }

    public int Bytes { get; }

    /// <summary>The view to emit and patch through.</summary>
    public byte* Writable { get; }

    /// <summary>The view to run.</summary>
    public byte* Executable { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        _ = Libc.munmap(Writable, (nuint)Bytes);
        _ = Libc.munmap(Executable, (nuint)Bytes);
    }
}

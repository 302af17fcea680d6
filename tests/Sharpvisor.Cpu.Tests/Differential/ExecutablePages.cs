// Memory for generated native code: one memfd mapped twice, writable at one address and executable at another. Sequences that
// modify themselves need more: the processor promises that only for stores through the address the code runs at (Intel SDM
// Vol. 3A, 8.1.3).
namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed unsafe class ExecutablePages : IDisposable
{
    private readonly int _bytes;

    /// <param name="address">Where the executable view goes.</param>
    /// <param name="bytes">A multiple of 4096.</param>
    /// <param name="modifiable">The executable view is writable as well.</param>
    public ExecutablePages(ulong address, int bytes, bool modifiable = false)
    {
        _bytes = bytes;
        int fd = HostCalls.memfd_create("sharpvisor-diff", 1);
        if (fd < 0 || HostCalls.ftruncate(fd, bytes) != 0)
        {
            throw new InvalidOperationException("cannot create memory for native code");
        }

        Executable = HostCalls.MapAt(address, (ulong)bytes, HostCalls.ProtRead | HostCalls.ProtExec | (modifiable ? HostCalls.ProtWrite : 0), fd);
        Writable = (byte*)HostCalls.mmap(null, (nuint)bytes, HostCalls.ProtRead | HostCalls.ProtWrite, HostCalls.MapShared, fd, 0);
        _ = HostCalls.close(fd);
        if ((nint)Writable == -1)
        {
            throw new InvalidOperationException("cannot map native code for writing");
        }
    }

    public byte* Executable { get; }

    public byte* Writable { get; }

    public void Dispose()
    {
        _ = HostCalls.munmap(Executable, (nuint)_bytes);
        _ = HostCalls.munmap(Writable, (nuint)_bytes);
    }
}

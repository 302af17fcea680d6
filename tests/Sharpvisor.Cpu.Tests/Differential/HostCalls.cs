// The Linux calls the native side of the comparison needs: fixed mappings, executable pages and signal handling.
using System.Runtime.InteropServices;

namespace Sharpvisor.Cpu.Tests.Differential;

internal static unsafe partial class HostCalls
{
    public const int ProtRead = 1;
    public const int ProtWrite = 2;
    public const int ProtExec = 4;
    public const int MapShared = 1;
    public const int MapPrivate = 2;
    public const int MapAnonymous = 0x20;
    public const int MapFixedNoReplace = 0x100000;

    public const int SigBlock = 0;
    public const int SigSetMask = 2;
    public const int SaSigInfo = 4;
    public const int SaOnStack = 0x0800_0000;

    [LibraryImport("libc", SetLastError = true)]
    public static partial void* mmap(void* address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int munmap(void* address, nuint length);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int memfd_create(string name, uint flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int ftruncate(int fd, long length);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int close(int fd);

    /// <param name="signal">Signal number.</param>
    /// <param name="action">glibc's struct sigaction: handler at 0, mask at 8 (128 bytes), flags at 136, restorer at 144.</param>
    /// <param name="old">The same, filled in.</param>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int sigaction(int signal, byte* action, byte* old);

    /// <param name="stack">stack_t: address at 0, flags at 8, size at 16.</param>
    /// <param name="old">The same, filled in.</param>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int sigaltstack(byte* stack, byte* old);

    /// <param name="how">SIG_BLOCK, SIG_SETMASK.</param>
    /// <param name="set">sigset_t, 128 bytes.</param>
    /// <param name="old">The same, filled in.</param>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int pthread_sigmask(int how, byte* set, byte* old);

    /// <summary>Maps private zeroed memory at exactly <paramref name="address"/>.</summary>
    public static byte* MapAt(ulong address, ulong bytes, int protection, int fd = -1)
    {
        int flags = MapFixedNoReplace | (fd < 0 ? MapPrivate | MapAnonymous : MapShared);
        void* mapped = mmap((void*)address, (nuint)bytes, protection, flags, fd, 0);
        return (ulong)mapped == address
            ? (byte*)mapped
            : throw new InvalidOperationException($"cannot map {bytes:x} bytes at {address:x}: errno {Marshal.GetLastPInvokeError()}");
    }
}

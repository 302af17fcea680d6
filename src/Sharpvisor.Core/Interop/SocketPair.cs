// Two connected unix stream sockets (socketpair(2)), which the class library cannot make: one for us, one for a child process.
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Sharpvisor.Core.Interop;

/// <summary>Makes pairs of connected sockets.</summary>
public static unsafe partial class SocketPair
{
    private const int AF_UNIX = 1;
    private const int SOCK_STREAM = 1;
    private const int SOCK_CLOEXEC = 0x80000;
    private const int SOL_SOCKET = 1;
    private const int SO_SNDBUF = 7;

    /// <param name="sendBytes">
    /// What the child's end is to hold of what it sent and we have not read, as far as net.core.wmem_max allows; a child that
    /// does not wait for room loses the rest.
    /// </param>
    /// <exception cref="IOException">The host has no file descriptor left.</exception>
    public static (Socket Ours, SafeFileHandle Theirs) Create(int sendBytes)
    {
        // SAFETY: two integers on this stack frame.
        int* pair = stackalloc int[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        {
            throw new IOException("cannot create a pair of sockets");
        }

        // SAFETY: an integer on this stack frame. Not having it only makes a loss likelier.
        _ = setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &sendBytes, sizeof(int));
        return (new Socket(new SafeSocketHandle(pair[0], ownsHandle: true)), new SafeFileHandle(pair[1], ownsHandle: true));
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int socketpair(int domain, int type, int protocol, int* pair);

    [LibraryImport("libc")]
    private static partial int setsockopt(int socket, int level, int name, void* value, uint bytes);
}

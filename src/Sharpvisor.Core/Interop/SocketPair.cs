// Two connected unix stream sockets (socketpair(2)), which the class library cannot make: one for us, one for a child process.
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Sharpvisor.Core.Interop;

/// <summary>Makes pairs of connected sockets.</summary>
public static unsafe partial class SocketPair
{
    private const int AF_UNIX = 1;
    private const int SOCK_STREAM = 1;
    private const int SOCK_CLOEXEC = 0x80000;

    /// <exception cref="IOException">The host has no file descriptor left.</exception>
    public static (Socket Ours, Socket Theirs) Create()
    {
        // SAFETY: two integers on this stack frame.
        int* pair = stackalloc int[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        {
            throw new IOException("cannot create a pair of sockets");
        }

        return (new Socket(new SafeSocketHandle(pair[0], ownsHandle: true)), new Socket(new SafeSocketHandle(pair[1], ownsHandle: true)));
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int socketpair(int domain, int type, int protocol, int* pair);
}

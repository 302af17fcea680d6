// A child process that gets one open file descriptor of ours: posix_spawn(3) with file actions. The class library can start
// processes but passes no descriptors, and clearing close-on-exec for a moment would leak them into every other child.
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Sharpvisor.Core.Interop;

/// <summary>A program we started. It has our descriptor as its number 3, /dev/null as input, and one pipe as output and error.</summary>
public sealed unsafe partial class ChildProcess : IDisposable
{
    /// <summary>The number under which the child finds the passed descriptor.</summary>
    public const int PassedDescriptor = 3;

    public const int ENOENT = 2;

    private const int O_CLOEXEC = 0x80000;
    private const int SIGTERM = 15;
    private const int EINTR = 4;
    private const short POSIX_SPAWN_SETPGROUP = 2;

    // glibc's posix_spawn_file_actions_t has 80 bytes, its posix_spawnattr_t 336.
    private const int ActionsBytes = 256;
    private const int AttributesBytes = 512;
    private readonly int _pid;
    private readonly Lock _lock = new();
    private bool _reaped;
    private int _status;

    private ChildProcess(int pid, FileStream output)
    {
        _pid = pid;
        Output = output;
    }

    public int Pid => _pid;

    /// <summary>What it prints; ends when it ends.</summary>
    public FileStream Output { get; }

    /// <summary>Starts a program found on PATH, in a process group of its own, so that a terminal's Ctrl-C is ours alone.</summary>
    /// <param name="error">When null is returned: the errno, <see cref="ENOENT"/> when there is no such program.</param>
    public static ChildProcess? Start(string program, IReadOnlyList<string> arguments, SafeHandle passed, out int error)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        ArgumentNullException.ThrowIfNull(passed);
        int* pipe = stackalloc int[2];
        if (pipe2(pipe, O_CLOEXEC) != 0)
        {
            error = Marshal.GetLastPInvokeError();
            return null;
        }

        var output = new SafeFileHandle(pipe[0], ownsHandle: true);
        using var input = new SafeFileHandle(pipe[1], ownsHandle: true);
        bool held = false;
        try
        {
            passed.DangerousAddRef(ref held);
            error = Spawn(program, arguments, (int)passed.DangerousGetHandle(), pipe[1], out int pid);
            if (error == 0)
            {
                return new ChildProcess(pid, new FileStream(output, FileAccess.Read, bufferSize: 1));
            }
        }
        finally
        {
            if (held)
            {
                passed.DangerousRelease();
            }
        }

        output.Dispose();
        return null;
    }

    /// <summary>Asks it to end; nothing when it has ended.</summary>
    public void Terminate()
    {
        lock (_lock)
        {
            if (!_reaped)
            {
                _ = kill(_pid, SIGTERM);
            }
        }
    }

    /// <summary>Waits for its end; returns its exit status, or 128 and the signal that ended it.</summary>
    public int WaitForExit()
    {
        int status = 0;
        while (true)
        {
            // Outside the lock, so that Terminate is possible meanwhile; a second waiter gets ECHILD.
            int result = waitpid(_pid, &status, 0);
            if (result < 0 && Marshal.GetLastPInvokeError() == EINTR)
            {
                continue;
            }

            lock (_lock)
            {
                if (result == _pid)
                {
                    _status = (status & 0x7F) == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F);
                }

                _reaped = true;
                return _status;
            }
        }
    }

    /// <summary>Ends it and waits for its end.</summary>
    public void Dispose()
    {
        Terminate();
        _ = WaitForExit();
        Output.Dispose();
    }

    private static int Spawn(string program, IReadOnlyList<string> arguments, int passed, int output, out int pid)
    {
        // SAFETY: both structures are larger than glibc's, initialised before use and destroyed after; argv ends in a null pointer.
        byte* actions = stackalloc byte[ActionsBytes];
        byte* attributes = stackalloc byte[AttributesBytes];
        _ = posix_spawn_file_actions_init(actions);
        _ = posix_spawnattr_init(attributes);
        _ = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP);
        byte** argv = stackalloc byte*[arguments.Count + 2];
        byte* devNull = Duplicate("/dev/null");
        argv[0] = Duplicate(program);
        for (int i = 0; i < arguments.Count; i++)
        {
            argv[i + 1] = Duplicate(arguments[i]);
        }

        argv[arguments.Count + 1] = null;
        _ = posix_spawn_file_actions_addopen(actions, 0, devNull, 0, 0);
        _ = posix_spawn_file_actions_adddup2(actions, output, 1);
        _ = posix_spawn_file_actions_adddup2(actions, output, 2);

        // dup2 onto itself clears close-on-exec, too (glibc 2.29).
        _ = posix_spawn_file_actions_adddup2(actions, passed, PassedDescriptor);
        int child;
        int error = posix_spawnp(&child, argv[0], actions, attributes, argv, null);
        pid = child;
        for (int i = 0; i <= arguments.Count; i++)
        {
            NativeMemory.Free(argv[i]);
        }

        NativeMemory.Free(devNull);
        _ = posix_spawn_file_actions_destroy(actions);
        _ = posix_spawnattr_destroy(attributes);
        return error;
    }

    private static byte* Duplicate(string text)
    {
        int bytes = Encoding.UTF8.GetByteCount(text);
        byte* copy = (byte*)NativeMemory.AllocZeroed((nuint)bytes + 1);
        _ = Encoding.UTF8.GetBytes(text, new Span<byte>(copy, bytes));
        return copy;
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int pipe2(int* descriptors, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int kill(int pid, int signal);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int waitpid(int pid, int* status, int options);

    [LibraryImport("libc")]
    private static partial int posix_spawnp(int* pid, byte* file, void* actions, void* attributes, byte** argv, byte** environment);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_init(void* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_destroy(void* actions);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_adddup2(void* actions, int descriptor, int number);

    [LibraryImport("libc")]
    private static partial int posix_spawn_file_actions_addopen(void* actions, int number, byte* path, int flags, uint mode);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_init(void* attributes);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_destroy(void* attributes);

    [LibraryImport("libc")]
    private static partial int posix_spawnattr_setflags(void* attributes, short flags);
}

// A wait with nanosecond resolution that another thread can end early: eventfd(2) and ppoll(2). The class library's
// waits round to milliseconds, which a guest's one-shot timers would feel as jitter.
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Sharpvisor.Core.Interop;

/// <summary>One thread waits on it; any thread wakes it.</summary>
public sealed unsafe partial class HostTimer : IDisposable
{
    private const int EFD_CLOEXEC = 0x80000;
    private const int EFD_NONBLOCK = 0x800;
    private const short POLLIN = 1;
    private const int PR_SET_TIMERSLACK = 29;
    private readonly SafeFileHandle _event;

    /// <exception cref="IOException">The host has no file descriptor left.</exception>
    public HostTimer()
    {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
        {
            throw new IOException("cannot create an eventfd");
        }

        _event = new SafeFileHandle(fd, ownsHandle: true);
    }

    /// <summary>Asks the kernel not to batch the calling thread's wake-ups (its default is 50 microseconds of slack).</summary>
    public static void UseLowTimerSlack() => _ = prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);

    /// <summary>Waits until the time has passed or <see cref="Wake"/> was called since the last wait; may return early.</summary>
    /// <param name="nanoseconds">Relative; negative waits for <see cref="Wake"/> only.</param>
    public void Wait(long nanoseconds)
    {
        bool held = false;
        try
        {
            _event.DangerousAddRef(ref held);
            var poll = new PollFd { Fd = (int)_event.DangerousGetHandle(), Events = POLLIN };
            TimeSpec time = new() { Seconds = nanoseconds / 1_000_000_000, Nanoseconds = nanoseconds % 1_000_000_000 };

            // SAFETY: both structures live on this stack frame for the whole call.
            if (ppoll(&poll, 1, nanoseconds < 0 ? null : &time, null) > 0)
            {
                ulong count;
                _ = read((int)_event.DangerousGetHandle(), &count, sizeof(ulong));
            }
        }
        finally
        {
            if (held)
            {
                _event.DangerousRelease();
            }
        }
    }

    /// <summary>Ends the current wait, or the next one. Any thread.</summary>
    public void Wake()
    {
        bool held = false;
        try
        {
            _event.DangerousAddRef(ref held);
            ulong one = 1;

            // SAFETY: eight bytes of this stack frame.
            _ = write((int)_event.DangerousGetHandle(), &one, sizeof(ulong));
        }
        finally
        {
            if (held)
            {
                _event.DangerousRelease();
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _event.Dispose();

    [LibraryImport("libc", SetLastError = true)]
    private static partial int eventfd(uint initial, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int ppoll(PollFd* descriptors, nuint count, TimeSpec* timeout, void* signals);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint read(int fd, void* buffer, nuint bytes);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(int fd, void* buffer, nuint bytes);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int prctl(int option, nuint a, nuint b, nuint c, nuint d);

    [StructLayout(LayoutKind.Sequential)]
    private struct PollFd
    {
        public int Fd;
        public short Events;
        public short Returned;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}

// A wake-up between two threads on futex(2): one system call to wake, one to sleep, none when nobody sleeps. The class library's
// monitors and semaphores take several and spin, which VPs and disk threads, woken for every request, would feel.
using System.Runtime.InteropServices;

namespace Sharpvisor.Core.Interop;

/// <summary>An auto-reset event: one thread waits on it, any thread signals.</summary>
public sealed unsafe partial class HostEvent
{
    private const long SYS_futex = 202;
    private const int FUTEX_WAIT_PRIVATE = 128;
    private const int FUTEX_WAKE_PRIVATE = 129;

    private const int Clear = 0;
    private const int Signalled = 1;
    private const int Sleeping = 2;

    // On the pinned heap: the kernel knows the word by its address, and it must outlive a late signal.
    private readonly int[] _state = GC.AllocateArray<int>(1, pinned: true);

    /// <summary>Ends the current wait, or else the next one.</summary>
    public void Signal()
    {
        if (Interlocked.Exchange(ref _state[0], Signalled) == Sleeping)
        {
            Futex(FUTEX_WAKE_PRIVATE, 1);
        }
    }

    /// <summary>Returns when it was signalled since the last wait. What the signaller wrote before is seen after.</summary>
    public void Wait()
    {
        if (Interlocked.CompareExchange(ref _state[0], Sleeping, Clear) == Clear)
        {
            do
            {
                // Returns at once when the word is no longer Sleeping.
                Futex(FUTEX_WAIT_PRIVATE, Sleeping);
            }
            while (Volatile.Read(ref _state[0]) == Sleeping);
        }

        Interlocked.Exchange(ref _state[0], Clear);
    }

    private void Futex(int operation, int value)
    {
        // SAFETY: the array is pinned for its life, which this object's reference prolongs to after the call.
        _ = syscall(SYS_futex, (int*)Marshal.UnsafeAddrOfPinnedArrayElement(_state, 0), operation, value, null);
        GC.KeepAlive(this);
    }

    // On x86-64 Linux variadic integer arguments are passed as any others.
    [LibraryImport("libc")]
    private static partial nint syscall(long number, int* word, int operation, int value, void* timeout);
}

// Timer expiration messages: each synthetic timer has one buffer of its own, so an expiration is never lost to a full queue.
namespace Sharpvisor.Hypervisor;

internal sealed partial class Synic
{
    private readonly ulong[] _pendingExpirations = new ulong[SyntheticTimer.Count];
    private readonly int[] _pendingSint = new int[SyntheticTimer.Count];
    private uint _pendingTimers;

    /// <summary>Queues the expiration message of a timer. False when its previous one still waits: the two merge.</summary>
    public bool PostTimer(int timer, int sint, ulong expirationTicks)
    {
        lock (_lock)
        {
            if ((_pendingTimers & (1u << timer)) != 0)
            {
                return false;
            }

            _pendingTimers |= 1u << timer;
            _pendingExpirations[timer] = expirationTicks;
            _pendingSint[timer] = sint;
            DeliverLocked(sint);
            return true;
        }
    }

    private bool HasPendingTimer(int sint, out int timer)
    {
        for (timer = 0; timer < SyntheticTimer.Count; timer++)
        {
            if ((_pendingTimers & (1u << timer)) != 0 && _pendingSint[timer] == sint)
            {
                return true;
            }
        }

        return false;
    }
}

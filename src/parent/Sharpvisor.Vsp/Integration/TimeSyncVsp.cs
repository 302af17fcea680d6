// The time synchronization service: the host's wall clock together with the partition reference time at which it was read
// (drivers/hv/hv_util.c, timesync_onchannelcallback; OpenVMM's hyperv_ic, timesync.rs).
using System.Buffers.Binary;

namespace Sharpvisor.Vsp.Integration;

/// <summary>Sets the guest's clock at boot and after a pause, and gives it a sample every five seconds (the guest's PTP clock).</summary>
public sealed class TimeSyncVsp : IntegrationService
{
    // ICTIMESYNCFLAG_SYNC: set the clock. ICTIMESYNCFLAG_SAMPLE: a hint.
    private const byte Sync = 1;
    private const byte Sample = 2;
    // struct ictimesync_data and struct ictimesync_ref_data (version 4), padded as Hyper-V does.
    private const int MessageBytes = 28;
    private const int ReferenceMessageBytes = 24;
    private static readonly TimeSpan s_period = TimeSpan.FromSeconds(5);

    private readonly Func<ulong> _referenceTime;
    private readonly TimeProvider _time;
    private readonly Timer _timer;
    private int _waiting;
    private volatile bool _syncWanted;
    private volatile bool _paused;

    /// <param name="referenceTime">The partition reference time now, in 100 ns: what the guest's clocksource counts.</param>
    /// <param name="time">The host's wall clock.</param>
    public TimeSyncVsp(Func<ulong> referenceTime, TimeProvider? time = null)
        : base(
            "timesync",
            IcMessageType.TimeSync,
            (new("9527e630-d0ae-497b-adce-e80ab0175caf"), new("2dd1ce17-079e-403c-b352-a1921ee207ee")),
            new(4, 0),
            new(3, 0),
            new(1, 0))
    {
        ArgumentNullException.ThrowIfNull(referenceTime);
        _referenceTime = referenceTime;
        _time = time ?? TimeProvider.System;
        _timer = new Timer(static state => ((TimeSyncVsp)state!).Tick(), this, Timeout.Infinite, Timeout.Infinite);
    }

    /// <summary>The VM is paused: no samples, which would be stale when they are read.</summary>
    public void Pause() => _paused = true;

    /// <summary>The VM runs again: its wall clock has stood still and is set.</summary>
    public void Resume()
    {
        _paused = false;
        _syncWanted = true;
        if (State == IntegrationState.Running)
        {
            Tick();
        }
    }

    // The first message after the driver connects sets the clock: "reboot, restore events of the VM" (hv_util.c, adj_guesttime).
    private protected override void OnRunning()
    {
        _syncWanted = true;
        _timer.Change(TimeSpan.Zero, s_period);
    }

    private protected override void OnStopped() => _timer.Change(Timeout.Infinite, Timeout.Infinite);

    private protected override void Dispose(bool disposing)
    {
        _timer.Dispose();
        base.Dispose(disposing);
    }

    private void Tick()
    {
        if (_paused)
        {
            return;
        }

        // One request under way and one behind it: a sync that comes up meanwhile is not lost, samples do not pile up.
        if (Interlocked.Increment(ref _waiting) > 2)
        {
            Interlocked.Decrement(ref _waiting);
            return;
        }

        _ = SendAsync();
    }

    private async Task SendAsync()
    {
        bool sync = _syncWanted;
        _syncWanted = false;
        try
        {
            _ = await RequestAsync(Message(sync ? Sync : Sample), CancellationToken.None);
        }
        catch (Exception e) when (e is IntegrationException or ObjectDisposedException)
        {
            _syncWanted |= sync;
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private byte[] Message(byte flags)
    {
        ulong reference = _referenceTime();
        // 100 ns since 1601: FILETIME.
        ulong host = (ulong)_time.GetUtcNow().UtcDateTime.ToFileTimeUtc();
        bool withReference = Version.Major >= 4;
        byte[] message = new byte[withReference ? ReferenceMessageBytes : MessageBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(message, host);
        if (withReference)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(message.AsSpan(8), reference);
        }

        message[withReference ? 16 : 24] = flags;
        return message;
    }
}

// The heartbeat service: a message every two seconds, which the guest answers with the next sequence number (drivers/hv/hv_util.c,
// heartbeat_onchannelcallback).
using System.Buffers.Binary;
using System.Diagnostics;

namespace Sharpvisor.Vsp.Integration;

/// <summary>Knows whether the guest's kernel is alive.</summary>
public sealed class HeartbeatVsp : IntegrationService
{
    // struct heartbeat_msg_data: seq_num, reserved[8].
    private const int MessageBytes = 40;
    private const uint ApplicationCritical = 2;
    private static readonly TimeSpan s_lostAfter = TimeSpan.FromSeconds(10);

    private readonly TimeSpan _period;
    private readonly Timer _timer;
    private long _lastAnswer;
    private long _lastSeenTicks;
    private ulong _sequence;
    private int _busy;
    private bool _critical;
    private volatile bool _paused;

    public HeartbeatVsp()
        : this(TimeSpan.FromSeconds(2))
    {
    }

    internal HeartbeatVsp(TimeSpan period)
        : base(
            "heartbeat",
            IcMessageType.Heartbeat,
            (new("57164f39-9115-4e78-ab55-382f3bd5422d"), new("fd149e91-82e0-4a7d-afa6-2a4166cbd7c0")),
            new(3, 0),
            new(1, 0))
    {
        _period = period;
        _timer = new Timer(static state => ((HeartbeatVsp)state!).Tick(), this, Timeout.Infinite, Timeout.Infinite);
    }

    /// <summary>When the guest last answered; null: never.</summary>
    public DateTimeOffset? LastSeen => Interlocked.Read(ref _lastSeenTicks) is > 0 and long ticks ? new DateTimeOffset(ticks, TimeSpan.Zero) : null;

    /// <summary>Answers so far.</summary>
    public ulong Sequence => Volatile.Read(ref _sequence);

    public HeartbeatState Health
    {
        get
        {
            long last = Volatile.Read(ref _lastAnswer);
            if (State != IntegrationState.Running || last == 0)
            {
                return HeartbeatState.NoContact;
            }

            return !_paused && Stopwatch.GetElapsedTime(last) > s_lostAfter + _period ? HeartbeatState.Lost
                : Volatile.Read(ref _critical) ? HeartbeatState.Critical
                : HeartbeatState.Healthy;
        }
    }

    /// <summary>The VM is paused: silence means nothing.</summary>
    public void Pause() => _paused = true;

    /// <summary>The VM runs again; the guest gets its full time to answer.</summary>
    public void Resume()
    {
        if (Volatile.Read(ref _lastAnswer) != 0)
        {
            Volatile.Write(ref _lastAnswer, Stopwatch.GetTimestamp());
        }

        _paused = false;
    }

    private protected override void OnRunning() => _timer.Change(TimeSpan.Zero, _period);

    private protected override void OnStopped()
    {
        _timer.Change(Timeout.Infinite, Timeout.Infinite);
        Volatile.Write(ref _lastAnswer, 0);
    }

    private protected override void Dispose(bool disposing)
    {
        _timer.Dispose();
        base.Dispose(disposing);
    }

    private void Tick()
    {
        if (!_paused && Interlocked.Exchange(ref _busy, 1) == 0)
        {
            _ = BeatAsync();
        }
    }

    private async Task BeatAsync()
    {
        byte[] message = new byte[MessageBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(message, Sequence);
        try
        {
            byte[] answer = (await RequestAsync(message, CancellationToken.None)).Body;
            if (answer.Length >= 12)
            {
                Volatile.Write(ref _sequence, BinaryPrimitives.ReadUInt64LittleEndian(answer));
                Volatile.Write(ref _critical, BinaryPrimitives.ReadUInt32LittleEndian(answer.AsSpan(8)) == ApplicationCritical);
                Interlocked.Exchange(ref _lastSeenTicks, DateTimeOffset.UtcNow.Ticks);
                Volatile.Write(ref _lastAnswer, Stopwatch.GetTimestamp());
            }
        }
        catch (Exception e) when (e is IntegrationException or ObjectDisposedException)
        {
            // Silence: Health tells.
        }
        finally
        {
            Volatile.Write(ref _busy, 0);
        }
    }
}

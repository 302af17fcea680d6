// The dynamic memory VSP: takes pages from the guest and gives them back, so that several guests can share the host's memory. The other
// end is drivers/hv/hv_balloon.c.
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.Vsp.Integration;

namespace Sharpvisor.Vsp.Balloon;

/// <summary>A guest's balloon. Thread-safe.</summary>
public sealed class BalloonVsp : IVmbusDevice, IDisposable
{
    /// <summary>What is added starts and ends at multiples of 128 MiB: Linux's memory blocks.</summary>
    public const int HotAddAlignmentLog2 = 7;

    public const ulong HotAddAlignmentBytes = 1UL << (20 + HotAddAlignmentLog2);

    // hv_balloon.c waits 5 s for each block to be brought online.
    private static readonly TimeSpan s_hotAddTimeout = TimeSpan.FromSeconds(300);

    // A guest that must find pages one by one answers as it goes; this is for one that has stopped.
    private static readonly TimeSpan s_timeout = TimeSpan.FromSeconds(60);

    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly Counter _released;
    private BalloonChannel? _channel;
    private MemoryReport? _report;

    /// <param name="statistics">Gets balloon.released_pages.</param>
    public BalloonVsp(Statistics statistics)
    {
        ArgumentNullException.ThrowIfNull(statistics);
        _released = statistics["balloon.released_pages"];
        Offer = new VmbusOffer
        {
            Name = "balloon",
            InterfaceId = new("525074dc-8985-46e2-8057-a307dc18a502"),
            InstanceId = new("1eccfd72-4b41-45ef-b73a-4a6e44c12924"),
        };
    }

    /// <inheritdoc/>
    public VmbusOffer Offer { get; }

    public IntegrationState State
    {
        get
        {
            lock (_lock)
            {
                return _channel?.State ?? IntegrationState.NotConnected;
            }
        }
    }

    /// <summary>What the guest has handed over.</summary>
    public ulong BalloonedBytes
    {
        get
        {
            BalloonChannel? channel;
            lock (_lock)
            {
                channel = _channel;
            }

            // Not under the lock: the channel calls in here under its own.
            return (channel?.BalloonedPages ?? 0) << GuestMemory.PageShift;
        }
    }

    /// <summary>The guest's last report; null before the first.</summary>
    public MemoryReport? Report
    {
        get
        {
            lock (_lock)
            {
                return _report;
            }
        }
    }

    /// <inheritdoc/>
    public IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData)
    {
        var opened = new BalloonChannel(this, channel.Memory);
        lock (_lock)
        {
            _channel = opened;
        }

        return opened;
    }

    /// <summary>
    /// Gives the guest memory or takes some from it: what the balloon holds comes back first, then memory is added, up to what
    /// the VM may have; a balloon takes what is too much. The guest may keep more than it is asked to: what it needs to live.
    /// </summary>
    /// <param name="bytes">What the guest is to have.</param>
    /// <param name="cancellation">Stops waiting; what is under way goes on.</param>
    /// <returns>What it has now.</returns>
    /// <exception cref="IntegrationException">There is nobody to ask, or no answer.</exception>
    public async Task<ulong> SetMemoryAsync(ulong bytes, CancellationToken cancellation = default)
    {
        await _turn.WaitAsync(cancellation);
        try
        {
            BalloonChannel channel = Running();
            GuestMemory memory = channel.Memory;
            if (bytes > memory.RamBytes)
            {
                await ResizeAsync(channel, 0, cancellation);
                await HotAddAsync(channel, memory, bytes, cancellation);
            }

            ulong ram = memory.RamBytes;
            await ResizeAsync(channel, (ram - Math.Min(ram, bytes)) >> GuestMemory.PageShift, cancellation);
            return ram - (channel.BalloonedPages << GuestMemory.PageShift);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Grows or shrinks the balloon. The guest may give less than it is asked for: it keeps what it needs to live.</summary>
    /// <param name="bytes">The balloon's new size.</param>
    /// <param name="cancellation">Stops waiting; what is under way goes on.</param>
    /// <returns>The size it has now.</returns>
    /// <exception cref="IntegrationException">There is nobody to ask, or no answer.</exception>
    public async Task<ulong> SetBalloonAsync(ulong bytes, CancellationToken cancellation = default)
    {
        await _turn.WaitAsync(cancellation);
        try
        {
            BalloonChannel channel = Running();
            await ResizeAsync(channel, bytes >> GuestMemory.PageShift, cancellation);
            return channel.BalloonedPages << GuestMemory.PageShift;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _turn.Dispose();

    internal void CountReleased(ulong pages) => _released.Add((long)pages);

    internal void TakeReport(MemoryReport report)
    {
        lock (_lock)
        {
            _report = report;
        }
    }

    internal void ChannelClosed(BalloonChannel channel)
    {
        lock (_lock)
        {
            if (_channel == channel)
            {
                _channel = null;
                _report = null;
            }
        }
    }

    private static async Task ResizeAsync(BalloonChannel channel, ulong target, CancellationToken cancellation)
    {
        ulong now = channel.BalloonedPages;
        if (target > now)
        {
            await WaitAsync(channel, channel.BeginInflate(target - now), s_timeout, cancellation);
        }
        else if (target < now)
        {
            await WaitAsync(channel, channel.BeginDeflate(now - target), s_timeout, cancellation);
        }
    }

    /// <summary>Adds whole blocks until RAM is at least as large as wanted, or cannot grow.</summary>
    private static async Task HotAddAsync(BalloonChannel channel, GuestMemory memory, ulong wanted, CancellationToken cancellation)
    {
        while (memory.RamBytes < wanted)
        {
            ulong before = memory.RamBytes;
            ulong bytes = (wanted - before + HotAddAlignmentBytes - 1) & ~(HotAddAlignmentBytes - 1);
            if (!memory.TryGrow(bytes, out ulong gpa, out ulong added))
            {
                return;
            }

            Task answer;
            try
            {
                answer = channel.BeginHotAdd(gpa >> GuestMemory.PageShift, added >> GuestMemory.PageShift);
            }
            catch (IntegrationException)
            {
                memory.Shrink(before);
                throw;
            }

            await WaitAsync(channel, answer, s_hotAddTimeout, cancellation);
            ulong taken = Math.Min(added, channel.HotAddedPages << GuestMemory.PageShift);
            if (taken < added)
            {
                // It takes no more (hv_balloon.c, hot_add_req); what it did take is at the beginning.
                memory.Shrink(before + taken);
                throw new IntegrationException($"balloon: the guest added only {taken >> 20} of {added >> 20} MiB");
            }
        }
    }

    private static async Task WaitAsync(BalloonChannel channel, Task answer, TimeSpan timeout, CancellationToken cancellation)
    {
        try
        {
            await answer.WaitAsync(timeout, cancellation);
        }
        catch (TimeoutException)
        {
            channel.Abandon();
            throw new IntegrationException("balloon: the guest does not answer");
        }
    }

    private BalloonChannel Running()
    {
        lock (_lock)
        {
            return _channel is { State: IntegrationState.Running } channel
                ? channel
                : throw new IntegrationException("balloon: the guest has no driver for it running (hv_balloon)", IcStatus.NotSupported);
        }
    }
}

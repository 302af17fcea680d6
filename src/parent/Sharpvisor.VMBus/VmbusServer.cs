// VMBus in the parent partition: connects the protocol's state machine (VmbusServerState) to SynIC, guest memory and the VSPs.
using System.Diagnostics.CodeAnalysis;
using Sharpvisor.Core;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

/// <summary>The bus of one VM. Thread-safe.</summary>
public sealed class VmbusServer : IChannelHost, IDisposable
{
    /// <summary>With so many answers not yet taken by the guest, it is told to try again later.</summary>
    private const int MaxBacklog = 512;
    private const int RetryMilliseconds = 2;

    /// <summary>A guest that takes no message for this many retries (about ten seconds) loses them.</summary>
    private const int MaxRetries = 5000;
    private const ushort HvStatusInsufficientBuffers = 0x13;

    private readonly Lock _lock = new();
    private readonly ISynicPorts _ports;
    private readonly Statistics _statistics;
    private readonly ITraceSink? _trace;
    private readonly VmbusServerState _state;
    private readonly Queue<VmbusAction> _backlog = new();
    private readonly Dictionary<(string Name, ushort Subchannel), ChannelCounters> _counters = [];
    private readonly Counter _messagesIn;
    private readonly Counter _messagesOut;
    private readonly Counter _messagesDropped;
    private readonly Timer _retry;
    private readonly ManualResetEventSlim _resetComplete = new();
    private int _retries;
    private bool _applying;
    private bool _paused;
    private bool _disposed;

    /// <param name="memory">The guest's memory.</param>
    /// <param name="ports">The parent's end of SynIC; message connections 1 and 4 are opened here.</param>
    /// <param name="statistics">Gets <c>vmbus.*</c> counters.</param>
    /// <param name="trace">Gets a line per message, decoded.</param>
    /// <param name="maxVersion">The newest version to offer.</param>
    public VmbusServer(
        GuestMemory memory, ISynicPorts ports, Statistics statistics, ITraceSink? trace = null, uint maxVersion = VmbusVersion.V5_3)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(ports);
        ArgumentNullException.ThrowIfNull(statistics);
        Memory = memory;
        _ports = ports;
        _statistics = statistics;
        _trace = trace;
        _state = new VmbusServerState(maxVersion);
        _messagesIn = statistics["vmbus.messages_in"];
        _messagesOut = statistics["vmbus.messages_out"];
        _messagesDropped = statistics["vmbus.messages_dropped"];
        _retry = new Timer(static state => ((VmbusServer)state!).Retry(), this, Timeout.Infinite, Timeout.Infinite);
        ports.OpenMessagePort(VmbusConstants.MessageConnectionId, OnMessage);
        ports.OpenMessagePort(VmbusConstants.MessageConnectionId4, OnMessage);
    }

    /// <summary>The negotiated version; 0 while the guest is not connected.</summary>
    public uint NegotiatedVersion
    {
        get
        {
            lock (_lock)
            {
                return _state.Version;
            }
        }
    }

    /// <inheritdoc/>
    public GuestMemory Memory { get; }

    /// <summary>Who answers the guest's connects to Hyper-V sockets; null: nobody listens.</summary>
    public IVmbusSockets? Sockets { get; set; }

    bool IChannelHost.TraceEnabled => _trace is { IsEnabled: true };

    /// <summary>Puts a device on the bus; a connected guest sees a hot add. Devices are offered in the order of these calls.</summary>
    /// <returns>False when an offer with the same interface and instance exists or the bus is full.</returns>
    public bool Offer(IVmbusDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        VmbusOffer offer = device.Offer;
        lock (_lock)
        {
            bool added = _state.Offer(offer, device) is not null;
            Apply();
            return added;
        }
    }

    /// <summary>Removes a device: hot removal. Its channels' <see cref="IChannelHandler.OnClosed"/> follow, on their workers.</summary>
    public void Rescind(IVmbusDevice device)
    {
        lock (_lock)
        {
            foreach (OfferedChannel channel in _state.Channels.Where(c => c.Owner == device && c.Primary is null && !c.Removed).ToList())
            {
                _state.Rescind(channel);
            }

            Apply();
        }
    }

    /// <summary>Answers <see cref="IVmbusSockets.Connect"/> when there is nobody to connect to.</summary>
    public void RefuseConnect(Guid endpointId, Guid serviceId)
    {
        lock (_lock)
        {
            _state.RefuseConnect(new SocketAddresses(endpointId, serviceId));
            Apply();
        }
    }

    /// <summary>Stops delivering packets; returns when no worker runs. The guest may go on filling rings. Not from a channel's callback.</summary>
    public void Pause()
    {
        foreach (VmbusChannel channel in SetPaused(true))
        {
            channel.BeginPause();
        }
    }

    /// <summary>Ends <see cref="Pause"/>.</summary>
    public void Resume()
    {
        foreach (VmbusChannel channel in SetPaused(false))
        {
            channel.EndPause();
        }
    }

    /// <summary>
    /// The VM was reset: closes every channel (waiting for the VSPs) and forgets the guest's connection. Offers stay. No VP may run
    /// meanwhile. Not from a channel's callback.
    /// </summary>
    public void Reset()
    {
        lock (_lock)
        {
            _resetComplete.Reset();
            _state.Reset();
            Apply();
        }

        _resetComplete.Wait();
    }

    /// <summary>Closes every channel and leaves SynIC. No VP may run any more.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
        }

        Reset();
        _ports.ClosePort(VmbusConstants.MessageConnectionId);
        _ports.ClosePort(VmbusConstants.MessageConnectionId4);
        _retry.Dispose();
        _resetComplete.Dispose();
    }

    bool IChannelHost.Interrupt(uint vpIndex, uint relid) => _ports.SignalEvent(vpIndex, VmbusConstants.Sint, (ushort)relid);

    bool IChannelHost.OfferSubchannels(VmbusChannel primary, int count)
    {
        lock (_lock)
        {
            bool offered = primary.Offered.Live == primary && _state.OfferSubchannels(primary.Offered, count);
            Apply();
            return offered;
        }
    }

    bool IChannelHost.TryGetGpadl(VmbusChannel channel, uint handle, out GpadlView? view)
    {
        lock (_lock)
        {
            view = channel.Offered.Live == channel && _state.TryGetGpadl(channel.Offered, handle, out Gpadl? gpadl)
                ? new GpadlView(Memory, gpadl.Ranges)
                : null;
            return view is not null;
        }
    }

    void IChannelHost.ChannelClosed(VmbusChannel channel)
    {
        lock (_lock)
        {
            channel.Offered.Live = null;
            _state.CloseCompleted(channel.Offered);
            Apply();
        }
    }

    void IChannelHost.Trace(string text) => _trace?.Line(text);

    /// <summary>HvCallPostMessage on connection 1 or 4, on a VP's thread.</summary>
    private ushort OnMessage(uint messageType, ReadOnlySpan<byte> payload)
    {
        // Linux posts with type 1; other types are not channel messages.
        if (messageType != VmbusConstants.MessageType)
        {
            return 0;
        }

        lock (_lock)
        {
            if (_backlog.Count >= MaxBacklog)
            {
                return HvStatusInsufficientBuffers;
            }

            _messagesIn.Increment();
            bool handled = _state.HandleMessage(payload);
            if (!handled)
            {
                _messagesDropped.Increment();
            }

            if (_trace is { IsEnabled: true })
            {
                _trace.Line($"vmbus < {MessageFormatter.Format(payload)}{(handled ? string.Empty : " (refused)")}");
            }

            Apply();
        }

        return 0;
    }

    /// <summary>Does what the state machine wants. An action may make new ones; the outermost call does those too, in order.</summary>
    private void Apply()
    {
        if (_applying)
        {
            return;
        }

        _applying = true;
        try
        {
            while (_state.TryTake(out VmbusAction action))
            {
                Apply(action);
            }
        }
        finally
        {
            _applying = false;
        }
    }

    private void Apply(in VmbusAction action)
    {
        switch (action.Kind)
        {
            case VmbusActionKind.Send:
                Send(action);
                break;
            case VmbusActionKind.DiscardMessages:
                _backlog.Clear();
                _ports.DiscardMessages(VmbusConstants.Sint);
                break;
            case VmbusActionKind.Open:
                Open(action.Channel!);
                break;
            case VmbusActionKind.Close:
                Close(action.Channel!);
                break;
            case VmbusActionKind.SetTargetVp:
                if (action.Channel!.Live is { } live)
                {
                    live.TargetVp = action.Vp;
                }

                break;
            case VmbusActionKind.ConnectSocket when Sockets is { } sockets:
                sockets.Connect(action.Socket.EndpointId, action.Socket.ServiceId);
                break;
            case VmbusActionKind.ConnectSocket:
                _state.RefuseConnect(action.Socket);
                break;
            case VmbusActionKind.ResetComplete:
                _resetComplete.Set();
                break;
            default:
                break;
        }
    }

    private void Send(in VmbusAction action)
    {
        if (_trace is { IsEnabled: true })
        {
            _trace.Line($"vmbus > {MessageFormatter.Format(action.Message)}");
        }

        _messagesOut.Increment();
        if (_backlog.Count > 0 || !Post(action))
        {
            _backlog.Enqueue(action);
            if (_backlog.Count == 1)
            {
                _retries = 0;
                _retry.Change(RetryMilliseconds, Timeout.Infinite);
            }
        }
    }

    private bool Post(in VmbusAction action) => _ports.PostMessage(action.Vp, action.Sint, VmbusConstants.MessageType, action.Message);

    /// <summary>SynIC's queue was full: tries again until the guest has taken messages, or evidently never will.</summary>
    private void Retry()
    {
        lock (_lock)
        {
            bool progress = false;
            while (_backlog.TryPeek(out VmbusAction action) && Post(action))
            {
                _backlog.Dequeue();
                progress = true;
            }

            _retries = progress ? 0 : _retries + 1;
            if (_retries > MaxRetries)
            {
                _backlog.Clear();
            }

            if (_backlog.Count > 0 && !_disposed)
            {
                _retry.Change(RetryMilliseconds, Timeout.Infinite);
            }
        }
    }

    private void Open(OfferedChannel channel)
    {
        VmbusChannel? live = null;
        IChannelHandler? handler = null;
        if (TryOpenRings(channel, out RingMemory? fromGuest, out RingMemory? toGuest))
        {
            live = new VmbusChannel(this, channel, channel.Request, _state.Version, fromGuest!, toGuest!, CountersOf(channel));
            handler = AskDevice(channel, live);
        }

        if (handler is null)
        {
            _state.OpenCompleted(channel, success: false);
            return;
        }

        channel.Live = live;
        _ports.OpenEventPort(VmbusConstants.EventConnectionId(channel.Relid), _ => live!.OnGuestSignal());
        _state.OpenCompleted(channel, success: true);
        live!.Start(handler, _paused);
    }

    [SuppressMessage("Design", "CA1031", Justification = "A VSP's bug must cost one channel, not the whole virtual machine.")]
    private IChannelHandler? AskDevice(OfferedChannel channel, VmbusChannel live)
    {
        try
        {
            UserData120 userData = channel.Request.UserData;
            return (channel.Owner as IVmbusDevice)?.Open(live, userData);
        }
        catch (Exception e)
        {
            _trace?.Line($"vmbus {channel.Offer.Name}: open failed: {e}");
            return null;
        }
    }

    private bool TryOpenRings(OfferedChannel channel, out RingMemory? fromGuest, out RingMemory? toGuest)
    {
        fromGuest = toGuest = null;
        OpenRequest request = channel.Request;
        if (!_state.TryGetGpadl(channel, request.RingGpadl, out Gpadl? gpadl) || !gpadl.TryGetRingPages(out ReadOnlySpan<ulong> pfns)
            || request.DownstreamPageOffset == 0 || request.DownstreamPageOffset >= (uint)pfns.Length)
        {
            return false;
        }

        int split = (int)request.DownstreamPageOffset;
        fromGuest = RingMemory.TryCreate(Memory, pfns[..split]);
        toGuest = RingMemory.TryCreate(Memory, pfns[split..]);
        return fromGuest is not null && toGuest is not null;
    }

    private void Close(OfferedChannel channel)
    {
        if (channel.Live is not { } live)
        {
            _state.CloseCompleted(channel);
            return;
        }

        _ports.ClosePort(VmbusConstants.EventConnectionId(channel.Relid));
        live.BeginClose();
    }

    private ChannelCounters CountersOf(OfferedChannel channel)
    {
        // By name: the connections of Hyper-V sockets come and go, and share theirs.
        (string, ushort) key = (channel.Offer.Name, channel.SubchannelIndex);
        if (!_counters.TryGetValue(key, out ChannelCounters? counters))
        {
            counters = new ChannelCounters(_statistics, channel.Offer.Name, channel.SubchannelIndex);
            _counters.Add(key, counters);
        }

        return counters;
    }

    private List<VmbusChannel> SetPaused(bool paused)
    {
        lock (_lock)
        {
            _paused = paused;
            return _state.Channels.Select(c => c.Live).OfType<VmbusChannel>().ToList();
        }
    }
}

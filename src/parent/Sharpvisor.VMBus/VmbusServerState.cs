// The server's half of the VMBus protocol as a pure state machine: messages and events in, actions out; no threads, no I/O.
// Behaviour follows what drivers/hv (Linux) expects and what OpenVMM's vmbus_server answers to requests that make no sense.
// This file: the bus's own operations. VmbusServerState.Messages.cs: the guest's messages. VmbusServerState.Gpadl.cs: GPADLs.
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

/// <summary>The state of one guest's connection and of all channels. Not thread-safe.</summary>
internal sealed partial class VmbusServerState
{
    /// <summary>Subchannels and devices together; Linux supports far fewer.</summary>
    private const int MaxChannels = (int)VmbusConstants.MaxRelid;

    private readonly List<OfferedChannel> _channels = [];
    private readonly OfferedChannel?[] _byRelid = new OfferedChannel?[VmbusConstants.MaxRelid + 1];
    private readonly Queue<VmbusAction> _actions = new();
    private readonly uint _maxVersion;
    private Link _link = Link.Disconnected;
    private Next _next;
    private InitiateContactMessage _contact;
    private uint _messageVp;
    private bool _offersSent;

    public VmbusServerState(uint maxVersion = VmbusVersion.V5_3) => _maxVersion = maxVersion;

    private enum Link
    {
        Disconnected,
        Connected,
        /// <summary>Waiting for channels to close.</summary>
        Disconnecting,
    }

    /// <summary>What follows when all channels are closed.</summary>
    private enum Next
    {
        Nothing,
        Contact,
        UnloadResponse,
        Reset,
    }

    /// <summary>The negotiated version; 0 when disconnected.</summary>
    public uint Version { get; private set; }

    public bool IsConnected => _link == Link.Connected;

    public IReadOnlyList<OfferedChannel> Channels => _channels;

    public bool TryTake(out VmbusAction action) => _actions.TryDequeue(out action);

    /// <summary>Puts a device's primary channel on the bus.</summary>
    /// <returns>Null when there is such an instance already or the bus is full.</returns>
    public OfferedChannel? Offer(VmbusOffer offer, object? owner)
    {
        foreach (OfferedChannel other in _channels)
        {
            if (!other.Removed && other.Primary is null
                && other.Offer.InterfaceId == offer.InterfaceId && other.Offer.InstanceId == offer.InstanceId)
            {
                return null;
            }
        }

        return Add(new OfferedChannel(offer, owner, null, 0));
    }

    /// <summary>Offers subchannels up to an index.</summary>
    public bool OfferSubchannels(OfferedChannel primary, int count)
    {
        if (primary.Primary is not null || primary.Removed || count < 0 || count > primary.Offer.MaxSubchannels || primary.Phase != ChannelPhase.Open)
        {
            return false;
        }

        for (ushort index = 1; index <= count; index++)
        {
            if (!_channels.Exists(c => c.Primary == primary && !c.Removed && c.SubchannelIndex == index)
                && Add(new OfferedChannel(primary.Offer, primary.Owner, primary, index)) is null)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Takes a device off the bus.</summary>
    public void Rescind(OfferedChannel primary)
    {
        RescindSubchannels(primary);
        RescindOne(primary);
    }

    /// <summary>The device's answer to <see cref="VmbusActionKind.Open"/>.</summary>
    public void OpenCompleted(OfferedChannel channel, bool success)
    {
        if (channel.Phase != ChannelPhase.Opening)
        {
            return;
        }

        channel.Phase = success ? ChannelPhase.Open : ChannelPhase.Closed;
        if (_link == Link.Connected && !channel.Removed)
        {
            SendOpenResult(channel.Relid, channel.Request.OpenId, success);
            return;
        }

        // Meanwhile the guest disconnected, or the device left.
        if (success)
        {
            StartClose(channel);
        }
        else
        {
            AfterClose(channel);
        }
    }

    /// <summary>The answer to <see cref="VmbusActionKind.Close"/>: nothing of the host touches the channel's memory any more.</summary>
    public void CloseCompleted(OfferedChannel channel)
    {
        if (channel.Phase == ChannelPhase.Closing)
        {
            channel.Phase = ChannelPhase.Closed;
            AfterClose(channel);
        }
    }

    /// <summary>Tells the guest that nobody listens. A connection that succeeds is an offer instead, and older guests time out.</summary>
    public void RefuseConnect(in SocketAddresses socket)
    {
        if (_link == Link.Connected && Version >= VmbusVersion.V4_1)
        {
            Send(new TlConnectResultMessage
            {
                Header = Wire.Header(ChannelMessageType.TlConnectResult),
                EndpointId = socket.EndpointId,
                ServiceId = socket.ServiceId,
                Status = VmbusConstants.StatusConnectionRefused,
            });
        }
    }

    /// <summary>The VM was reset: <see cref="VmbusActionKind.ResetComplete"/> follows when all channels are closed.</summary>
    public void Reset() => Disconnect(Next.Reset);

    private OfferedChannel? Add(OfferedChannel channel)
    {
        if (_channels.Count >= MaxChannels)
        {
            return null;
        }

        _channels.Add(channel);
        if (_link == Link.Connected && _offersSent && !IsOutgoing(channel))
        {
            SendOffer(channel);
        }

        return channel;
    }

    /// <summary>
    /// Does the guest still know an earlier channel of the same instance? Until it released that one a new offer would find it in its
    /// list (the WARN_ON in vmbus_onoffer, drivers/hv/channel_mgmt.c).
    /// </summary>
    private bool IsOutgoing(OfferedChannel channel) => channel.Primary is null
        && _channels.Exists(other => other.Removed && other.Relid != 0 && other.IsSameInstance(channel));

    private void RescindSubchannels(OfferedChannel primary)
    {
        for (int i = _channels.Count - 1; i >= 0; i--)
        {
            if (_channels[i].Primary == primary)
            {
                RescindOne(_channels[i]);
            }
        }
    }

    private void RescindOne(OfferedChannel channel)
    {
        if (channel.Removed)
        {
            return;
        }

        channel.Removed = true;
        channel.Reopen = null;
        switch (channel.Phase)
        {
            case ChannelPhase.Released:
                _channels.Remove(channel);
                break;
            case ChannelPhase.Closed:
                SendRescind(channel);
                break;
            case ChannelPhase.Open:
                // The guest hears of it when the host has let go of its memory: it may free the ring at once then
                // (drivers/hv/channel.c does not even tear the GPADL down on a rescinded channel).
                StartClose(channel);
                break;
            default:
                break;
        }
    }

    private void StartClose(OfferedChannel channel)
    {
        channel.Phase = ChannelPhase.Closing;
        _actions.Enqueue(new VmbusAction(VmbusActionKind.Close, Channel: channel));
    }

    private void AfterClose(OfferedChannel channel)
    {
        if (_link == Link.Disconnecting)
        {
            TryFinishDisconnect();
            return;
        }

        FinishTeardowns(channel);
        if (channel.ReleaseAfterClose)
        {
            Release(channel);
        }
        else if (channel.Removed)
        {
            SendRescind(channel);
        }
        else if (channel.Reopen is { } request)
        {
            channel.Reopen = null;
            StartOpen(channel, request);
        }
    }

    private void StartOpen(OfferedChannel channel, in OpenRequest request)
    {
        channel.Request = request;
        channel.Phase = ChannelPhase.Opening;
        _actions.Enqueue(new VmbusAction(VmbusActionKind.Open, Channel: channel));
    }

    /// <summary>The guest knows nothing of the channel any more.</summary>
    private void Release(OfferedChannel channel)
    {
        if (channel.Relid != 0)
        {
            _byRelid[channel.Relid] = null;
            channel.Relid = 0;
        }

        DropGpadls(channel);
        channel.Phase = ChannelPhase.Released;
        channel.ReleaseAfterClose = false;
        channel.RescindSent = false;
        channel.Reopen = null;
        if (channel.Removed || channel.Primary is not null || channel.Offer.Flags.HasFlag(OfferFlags.TlnpiProviderOffer))
        {
            // A subchannel is offered again when the device is asked for it again, and a socket's connection is over.
            channel.Removed = true;
            _channels.Remove(channel);
            if (_link == Link.Connected && _offersSent
                && _channels.Find(next => !next.Removed && next.Phase == ChannelPhase.Released && next.IsSameInstance(channel)) is { } successor)
            {
                SendOffer(successor);
            }
        }
    }

    /// <summary>Ends the connection. Everything of the guest's is given back before the next step.</summary>
    private void Disconnect(Next next)
    {
        // A reset has somebody waiting for it; nothing a guest says may take its place.
        if (_next != Next.Reset)
        {
            _next = next;
        }

        if (_link == Link.Connected)
        {
            _link = Link.Disconnecting;
            Version = 0;
            _actions.Enqueue(new VmbusAction(VmbusActionKind.DiscardMessages));
            foreach (OfferedChannel channel in _channels)
            {
                channel.Reopen = null;
                if (channel.Phase == ChannelPhase.Open)
                {
                    StartClose(channel);
                }
            }
        }

        TryFinishDisconnect();
    }

    private void TryFinishDisconnect()
    {
        if (_channels.Exists(static c => c.IsBusy))
        {
            return;
        }

        ClearGpadls();
        for (int i = _channels.Count - 1; i >= 0; i--)
        {
            Release(_channels[i]);
        }

        _link = Link.Disconnected;
        _offersSent = false;
        Next next = _next;
        _next = Next.Nothing;
        switch (next)
        {
            case Next.Contact:
                Contact(_contact);
                break;
            case Next.UnloadResponse:
                Send(Wire.Header(ChannelMessageType.UnloadResponse));
                break;
            case Next.Reset:
                _messageVp = 0;
                _actions.Enqueue(new VmbusAction(VmbusActionKind.ResetComplete));
                break;
            default:
                break;
        }
    }

    private void SendOffer(OfferedChannel channel)
    {
        if (!TryAssignRelid(channel))
        {
            return;
        }

        VmbusOffer offer = channel.Offer;
        var message = new OfferChannelMessage
        {
            Header = Wire.Header(ChannelMessageType.OfferChannel),
            InterfaceId = offer.InterfaceId,
            InstanceId = offer.InstanceId,
            Flags = offer.Flags,
            MmioMegabytes = offer.MmioMegabytes,
            SubchannelIndex = channel.SubchannelIndex,
            Relid = channel.Relid,
            // Monitor pages are for latency-tolerant signals that a host batches; without one the guest signals by hypercall
            // (drivers/hv/channel.c, vmbus_setevent).
            MonitorId = 0xFF,
            MonitorAllocated = 0,
            // From version 2.4 on every channel has its own connection id and event flag; the interrupt page is unused.
            IsDedicatedInterrupt = 1,
            ConnectionId = VmbusConstants.EventConnectionId(channel.Relid),
        };
        ReadOnlySpan<byte> userData = offer.UserData.Span;
        userData[..Math.Min(userData.Length, VmbusConstants.UserDataBytes)].CopyTo(message.UserData);
        channel.Phase = ChannelPhase.Closed;
        Send(message);
    }

    private bool TryAssignRelid(OfferedChannel channel)
    {
        for (uint relid = 1; relid <= VmbusConstants.MaxRelid; relid++)
        {
            if (_byRelid[relid] is null)
            {
                _byRelid[relid] = channel;
                channel.Relid = relid;
                return true;
            }
        }

        return false;
    }

    private void SendRescind(OfferedChannel channel)
    {
        channel.RescindSent = true;
        if (_link != Link.Connected)
        {
            return;
        }

        Send(new RelidMessage { Header = Wire.Header(ChannelMessageType.RescindChannelOffer), Relid = channel.Relid });
    }

    private void SendOpenResult(uint relid, uint openId, bool success) => Send(new OpenResultMessage
    {
        Header = Wire.Header(ChannelMessageType.OpenChannelResult),
        Relid = relid,
        OpenId = openId,
        Status = success ? VmbusConstants.StatusSuccess : VmbusConstants.StatusUnsuccessful,
    });

    private void Send<T>(in T message)
        where T : unmanaged =>
        SendTo(message, _messageVp, VmbusConstants.Sint);

    private void SendTo<T>(in T message, uint vp, byte sint)
        where T : unmanaged =>
        _actions.Enqueue(new VmbusAction(VmbusActionKind.Send, Wire.ToBytes(message), vp, sint));
}

// The guest's messages (include/linux/hyperv.h, enum vmbus_channel_message_type), all but GPADLs. A message that is too short, of an unknown
// type, for an unknown channel or out of turn is dropped, unless Hyper-V has an answer that says so.
using System.Diagnostics.CodeAnalysis;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

internal sealed partial class VmbusServerState
{
    /// <summary>A connection state of the version response (OpenVMM's vmbus_core).</summary>
    private const byte FailedUnknownFailure = 2;

    /// <summary>Takes one message.</summary>
    /// <param name="message">A private copy.</param>
    /// <returns>False when it was dropped.</returns>
    public bool HandleMessage(ReadOnlySpan<byte> message)
    {
        if (!Wire.TryParse(message, out MessageHeader header))
        {
            return false;
        }

        if (header.Type == ChannelMessageType.InitiateContact)
        {
            return HandleInitiateContact(message);
        }

        // While channels close for an unload or a new contact, only a new contact makes sense.
        if (_link != Link.Connected)
        {
            return false;
        }

        switch (header.Type)
        {
            case ChannelMessageType.RequestOffers:
                return HandleRequestOffers();
            case ChannelMessageType.OpenChannel:
                return HandleOpen(message);
            case ChannelMessageType.CloseChannel:
                return HandleClose(message);
            case ChannelMessageType.GpadlHeader:
                return HandleGpadlHeader(message);
            case ChannelMessageType.GpadlBody:
                return HandleGpadlBody(message);
            case ChannelMessageType.GpadlTeardown:
                return HandleGpadlTeardown(message);
            case ChannelMessageType.RelidReleased:
                return HandleRelidReleased(message);
            case ChannelMessageType.ModifyChannel:
                return HandleModifyChannel(message);
            case ChannelMessageType.TlConnectRequest:
                return HandleTlConnect(message);
            case ChannelMessageType.Unload:
                Disconnect(Next.UnloadResponse);
                return true;
            default:
                return false;
        }
    }

    private bool HandleInitiateContact(ReadOnlySpan<byte> message)
    {
        if (!Wire.TryParse(message, out InitiateContactMessage contact))
        {
            return false;
        }

        bool hasTarget = contact.Version >= VmbusVersion.V5_0;
        byte sint = hasTarget ? (byte)contact.InterruptPageOrTarget : VmbusConstants.Sint;
        byte vtl = contact.Version >= VmbusVersion.V5_1 ? (byte)(contact.InterruptPageOrTarget >> 8) : (byte)0;
        if (vtl != 0)
        {
            // For the VMBus of another virtual trust level, which does not exist here.
            return false;
        }

        if (sint != VmbusConstants.Sint)
        {
            if (sint < 16)
            {
                SendTo(new VersionResponseMessage { Header = Wire.Header(ChannelMessageType.VersionResponse) }, MessageVp(contact), sint);
            }

            return sint < 16;
        }

        // A new contact ends the old connection: after a crash, kexec or a firmware's own use of the bus nobody else does.
        _contact = contact;
        if (_link == Link.Disconnected)
        {
            Contact(contact);
        }
        else
        {
            Disconnect(Next.Contact);
        }

        return true;
    }

    /// <summary>Before Windows 8.1 all messages went to VP 0; a crash kernel may run anywhere.</summary>
    private static uint MessageVp(in InitiateContactMessage contact) => contact.Version >= VmbusVersion.V3_0 ? contact.TargetVp : 0;

    private void Contact(in InitiateContactMessage contact)
    {
        _messageVp = MessageVp(contact);
        var response = new VersionResponseMessage { Header = Wire.Header(ChannelMessageType.VersionResponse) };
        if (contact.Version <= _maxVersion && VmbusVersion.All.Contains(contact.Version))
        {
            response.VersionSupported = 1;
            response.VersionOrConnectionId = contact.Version >= VmbusVersion.V5_0 ? VmbusConstants.MessageConnectionId4 : contact.Version;
            // Monitor pages come in pairs or not at all.
            bool valid = (contact.MonitorPageParentToChild == 0) == (contact.MonitorPageChildToParent == 0);
            response.ConnectionState = valid ? (byte)0 : FailedUnknownFailure;
            if (valid)
            {
                _link = Link.Connected;
                Version = contact.Version;
            }
        }

        Send(response);
    }

    private bool HandleRequestOffers()
    {
        if (_offersSent)
        {
            return false;
        }

        _offersSent = true;
        foreach (OfferedChannel channel in _channels)
        {
            if (channel.Phase == ChannelPhase.Released)
            {
                SendOffer(channel);
            }
        }

        Send(Wire.Header(ChannelMessageType.AllOffersDelivered));
        return true;
    }

    private bool HandleOpen(ReadOnlySpan<byte> message)
    {
        if (!Wire.TryParse(message, out OpenChannelMessage open) || !TryGetChannel(open.Relid, out OfferedChannel? channel))
        {
            return false;
        }

        // A rescinded channel: the guest will find out (or did, drivers/hv/channel_mgmt.c wakes the opener).
        if (channel.Removed)
        {
            return false;
        }

        var request = new OpenRequest(open.OpenId, open.RingGpadl, open.TargetVp, open.DownstreamPageOffset, open.UserData);
        switch (channel.Phase)
        {
            case ChannelPhase.Closed:
                StartOpen(channel, request);
                return true;
            case ChannelPhase.Closing when channel.Reopen is null:
                channel.Reopen = request;
                return true;
            default:
                return false;
        }
    }

    private bool HandleClose(ReadOnlySpan<byte> message)
    {
        if (!Wire.TryParse(message, out RelidMessage close) || !TryGetChannel(close.Relid, out OfferedChannel? channel))
        {
            return false;
        }

        if (channel.Phase != ChannelPhase.Open)
        {
            // An open that waits for the close before it is withdrawn by the next close.
            bool withdrawn = channel.Reopen is not null;
            channel.Reopen = null;
            return withdrawn;
        }

        StartClose(channel);
        // Subchannels live as long as their primary is open; a driver that binds again asks for new ones. Linux has closed them by
        // now (vmbus_disconnect_ring) and frees them when rescinded.
        if (channel.Primary is null)
        {
            RescindSubchannels(channel);
        }

        return true;
    }

    private bool HandleRelidReleased(ReadOnlySpan<byte> message)
    {
        if (!Wire.TryParse(message, out RelidMessage release) || !TryGetChannel(release.Relid, out OfferedChannel? channel))
        {
            return false;
        }

        switch (channel.Phase)
        {
            case ChannelPhase.Closed:
                Release(channel);
                return true;
            case ChannelPhase.Closing when channel.Reopen is null:
                channel.ReleaseAfterClose = true;
                return true;
            default:
                return false;
        }
    }

    private bool HandleModifyChannel(ReadOnlySpan<byte> message)
    {
        if (Version < VmbusVersion.V4_1 || !Wire.TryParse(message, out ModifyChannelMessage modify))
        {
            return false;
        }

        // The message cannot switch interrupts off, nor on for a channel that was opened without.
        bool done = modify.TargetVp != VmbusConstants.NoInterruptVp
            && TryGetChannel(modify.Relid, out OfferedChannel? channel)
            && channel.Phase == ChannelPhase.Open
            && channel.Request.TargetVp != VmbusConstants.NoInterruptVp;
        if (done)
        {
            channel = _byRelid[modify.Relid]!;
            channel.Request = channel.Request with { TargetVp = modify.TargetVp };
            _actions.Enqueue(new VmbusAction(VmbusActionKind.SetTargetVp, Vp: modify.TargetVp, Channel: channel));
        }

        if (Version >= VmbusVersion.V5_3)
        {
            Send(new ModifyChannelResponseMessage
            {
                Header = Wire.Header(ChannelMessageType.ModifyChannelResponse),
                Relid = modify.Relid,
                Status = done ? VmbusConstants.StatusSuccess : VmbusConstants.StatusUnsuccessful,
            });
        }

        return done;
    }

    // hv_sock asks for it from Windows 10's version on (net/vmw_vsock/hyperv_transport.c, hvs_init).
    private bool HandleTlConnect(ReadOnlySpan<byte> message)
    {
        if (Version < VmbusVersion.V4_0 || !Wire.TryParse(message, out TlConnectRequestMessage connect))
        {
            return false;
        }

        _actions.Enqueue(new VmbusAction(VmbusActionKind.ConnectSocket, Socket: new SocketAddresses(connect.EndpointId, connect.ServiceId)));
        return true;
    }

    private bool TryGetChannel(uint relid, [NotNullWhen(true)] out OfferedChannel? channel)
    {
        channel = relid <= VmbusConstants.MaxRelid ? _byRelid[relid] : null;
        return channel is not null;
    }
}

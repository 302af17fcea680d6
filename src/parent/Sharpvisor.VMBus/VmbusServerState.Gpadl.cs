// GPADLs: how a guest lends memory to the host (drivers/hv/channel.c, create_gpadl_header, vmbus_teardown_gpadl).
using System.Diagnostics.CodeAnalysis;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.VMBus;

internal sealed partial class VmbusServerState
{
    /// <summary>Limits on what a guest can make the host remember: netvsc, the greediest driver, has three GPADLs of up to 64 KiB a device.</summary>
    public const int MaxGpadls = 4096;
    public const int MaxGpadlBytes = 16 << 20;

    private const int HeaderBytes = 20;
    private const int BodyBytes = 16;

    private readonly Dictionary<uint, Gpadl> _gpadls = [];
    private long _gpadlBytes;

    public int GpadlCount => _gpadls.Count;

    /// <summary>A complete GPADL of this channel.</summary>
    public bool TryGetGpadl(OfferedChannel channel, uint handle, [NotNullWhen(true)] out Gpadl? gpadl) =>
        _gpadls.TryGetValue(handle, out gpadl) && gpadl.Channel == channel && gpadl.Phase == GpadlPhase.Ready;

    private bool HandleGpadlHeader(ReadOnlySpan<byte> message)
    {
        if (!Wire.TryParse(message, out GpadlHeaderMessage header))
        {
            return false;
        }

        int bytes = header.RangeBytes & ~7;
        if (!TryGetChannel(header.Relid, out OfferedChannel? channel) || _gpadls.ContainsKey(header.Gpadl)
            || _gpadls.Count >= MaxGpadls || _gpadlBytes + bytes > MaxGpadlBytes)
        {
            SendGpadlCreated(header.Relid, header.Gpadl, success: false);
            return false;
        }

        var gpadl = new Gpadl(header.Gpadl, channel, header.RangeCount, bytes);
        _gpadls.Add(gpadl.Handle, gpadl);
        _gpadlBytes += gpadl.Bytes;
        return Append(gpadl, message[HeaderBytes..]);
    }

    private bool HandleGpadlBody(ReadOnlySpan<byte> message)
    {
        // Without a GPADL there is no channel to name in an answer, so there is none.
        if (!Wire.TryParse(message, out GpadlBodyMessage body)
            || !_gpadls.TryGetValue(body.Gpadl, out Gpadl? gpadl) || gpadl.Phase != GpadlPhase.InProgress)
        {
            return false;
        }

        return Append(gpadl, message[BodyBytes..]);
    }

    private bool Append(Gpadl gpadl, ReadOnlySpan<byte> data)
    {
        bool valid = gpadl.TryAppend(data);
        if (!valid)
        {
            Forget(gpadl);
        }

        if (!valid || gpadl.IsComplete)
        {
            SendGpadlCreated(gpadl.Channel.Relid, gpadl.Handle, valid);
        }

        return valid;
    }

    private bool HandleGpadlTeardown(ReadOnlySpan<byte> message)
    {
        if (!Wire.TryParse(message, out GpadlTeardownMessage teardown)
            || !TryGetChannel(teardown.Relid, out OfferedChannel? channel)
            || !TryGetGpadl(channel, teardown.Gpadl, out Gpadl? gpadl))
        {
            return false;
        }

        if (channel.Phase is ChannelPhase.Open or ChannelPhase.Opening && channel.Request.RingGpadl == gpadl.Handle)
        {
            // The ring is in use; a driver closes first.
            return false;
        }

        if (channel.Phase == ChannelPhase.Closing)
        {
            // Whoever works on the channel's behalf may still write there. Linux sends this right after the close.
            gpadl.Phase = GpadlPhase.TearingDown;
            return true;
        }

        Forget(gpadl);
        SendGpadlTorndown(gpadl.Handle);
        return true;
    }

    private void FinishTeardowns(OfferedChannel channel)
    {
        List<Gpadl>? done = null;
        foreach (Gpadl gpadl in _gpadls.Values)
        {
            if (gpadl.Channel == channel && gpadl.Phase == GpadlPhase.TearingDown)
            {
                (done ??= []).Add(gpadl);
            }
        }

        foreach (Gpadl gpadl in done ?? [])
        {
            Forget(gpadl);
            SendGpadlTorndown(gpadl.Handle);
        }
    }

    private void DropGpadls(OfferedChannel channel)
    {
        foreach (Gpadl gpadl in _gpadls.Values.Where(g => g.Channel == channel).ToList())
        {
            Forget(gpadl);
        }
    }

    private void ClearGpadls()
    {
        _gpadls.Clear();
        _gpadlBytes = 0;
    }

    private void Forget(Gpadl gpadl)
    {
        if (_gpadls.Remove(gpadl.Handle))
        {
            _gpadlBytes -= gpadl.Bytes;
        }
    }

    private void SendGpadlCreated(uint relid, uint handle, bool success) => Send(new GpadlCreatedMessage
    {
        Header = Wire.Header(ChannelMessageType.GpadlCreated),
        Relid = relid,
        Gpadl = handle,
        Status = success ? VmbusConstants.StatusSuccess : VmbusConstants.StatusUnsuccessful,
    });

    private void SendGpadlTorndown(uint handle) => Send(new GpadlTorndownMessage
    {
        Header = Wire.Header(ChannelMessageType.GpadlTorndown),
        Gpadl = handle,
    });
}

// One connection: a VMBus channel on the guest's side, a unix socket on the host's. Both directions end separately (a packet without data;
// shutdown(2)), and when both have ended the channel is rescinded, which is what the guest's hv_sock waits for
// (drivers/hv/channel_mgmt.c, vmbus_hvsock_device_unregister).
using System.Net.Sockets;
using System.Text;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;
using HostSocket = System.Net.Sockets.Socket;

namespace Sharpvisor.Vsp.Socket;

internal sealed class SocketConnection : IVmbusDevice, IChannelHandler
{
    /// <summary>What may wait for the host's program; beyond it the guest's ring fills, and its writers wait.</summary>
    private const int GatherBytes = 64 << 10;

    private readonly SocketVsp _vsp;
    private readonly HostSocket _host;
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource<bool> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource _writable = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private byte[] _gathering = new byte[GatherBytes];
    private byte[] _sending = new byte[GatherBytes];
    private int _gathered;
    private bool _isSending;
    private bool _guestWaits;
    private bool _guestEnded;
    private bool _guestEndPassedOn;
    private bool _hostEnded;
    private bool _wasOpened;
    private bool _ended;

    /// <param name="greeting">Written to <paramref name="host"/> before anything of the guest's, once the guest has opened the channel.</param>
    public SocketConnection(SocketVsp vsp, HostSocket host, Guid endpointId, Guid serviceId, bool fromHost, string greeting)
    {
        _vsp = vsp;
        _host = host;
        _gathered = Encoding.ASCII.GetBytes(greeting, _gathering);
        Offer = new VmbusOffer
        {
            Name = "hvsock",
            InterfaceId = serviceId,
            InstanceId = endpointId,
            Flags = OfferFlags.EnumerateDeviceInterface | OfferFlags.NamedPipeMode | OfferFlags.TlnpiProviderOffer,
            UserData = SocketProtocol.UserData(fromHost),
        };
    }

    /// <inheritdoc/>
    public VmbusOffer Offer { get; }

    /// <summary>Ends when the guest has opened the channel (true), or never will (false).</summary>
    public Task<bool> Opened => _opened.Task;

    /// <summary>Ends with the connection.</summary>
    public Task Completion => _completion.Task;

    /// <inheritdoc/>
    public IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData)
    {
        lock (_lock)
        {
            // A connection is opened once.
            if (_ended || _wasOpened)
            {
                return null;
            }

            _wasOpened = true;
            return this;
        }
    }

    public void OnOpened(VmbusChannel channel)
    {
        _opened.TrySetResult(true);
        _ = ReadHostAsync(channel);
    }

    public bool OnPacket(VmbusChannel channel, in IncomingPacket packet)
    {
        if (packet.Type != PacketType.DataInBand || !SocketProtocol.TryGetData(packet.Payload, out ReadOnlySpan<byte> data))
        {
            End();
            return true;
        }

        lock (_lock)
        {
            if (_guestEnded || _ended)
            {
                return true;
            }

            if (_gathered + data.Length > GatherBytes)
            {
                // Something is being sent then, or is as soon as the batch ends.
                _guestWaits = true;
                return false;
            }

            data.CopyTo(_gathering.AsSpan(_gathered));
            _gathered += data.Length;
            _guestEnded = data.IsEmpty;
        }

        return true;
    }

    public void OnBatchEnd(VmbusChannel channel)
    {
        lock (_lock)
        {
            if (_isSending || _ended || (_gathered == 0 && (!_guestEnded || _guestEndPassedOn)))
            {
                return;
            }

            _isSending = true;
        }

        _ = SendAsync(channel);
    }

    public void OnWritable(VmbusChannel channel) =>
        Interlocked.Exchange(ref _writable, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();

    public void OnClosed(VmbusChannel channel) => End();

    /// <summary>Ends it, whatever is under way. May be called with or without a channel, and again.</summary>
    public void End()
    {
        lock (_lock)
        {
            if (_ended)
            {
                return;
            }

            _ended = true;
        }

        _opened.TrySetResult(false);
        _host.Dispose();
        _vsp.Ended(this);
        _completion.SetResult();
    }

    // One at a time. Gives way to the guest's next packets while the host's program takes these.
    private async Task SendAsync(VmbusChannel channel)
    {
        try
        {
            while (TakeGathered(out int count, out bool resume))
            {
                if (resume)
                {
                    channel.Resume();
                }

                for (int sent = 0; sent < count;)
                {
                    sent += await _host.SendAsync(_sending.AsMemory(sent, count - sent), SocketFlags.None);
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The host's program is gone; nobody is left to answer either.
            End();
        }
    }

    /// <returns>False when there is no more to send.</returns>
    private bool TakeGathered(out int count, out bool resume)
    {
        bool complete;
        lock (_lock)
        {
            (_gathering, _sending) = (_sending, _gathering);
            count = _gathered;
            _gathered = 0;
            resume = _guestWaits;
            _guestWaits = false;
            if (count > 0)
            {
                return true;
            }

            _isSending = false;
            if (!_guestEnded || _guestEndPassedOn)
            {
                return false;
            }

            _guestEndPassedOn = true;
            complete = _hostEnded;
        }

        _host.Shutdown(SocketShutdown.Send);
        if (complete)
        {
            End();
        }

        return false;
    }

    private async Task ReadHostAsync(VmbusChannel channel)
    {
        byte[] packet = new byte[SocketProtocol.HeaderBytes + SocketProtocol.MaxDataBytes];
        try
        {
            int bytes;
            do
            {
                bytes = await _host.ReceiveAsync(packet.AsMemory(SocketProtocol.HeaderBytes), SocketFlags.None);
                SocketProtocol.WriteHeader(packet, bytes);
                if (!await WriteAsync(channel, packet.AsMemory(0, SocketProtocol.HeaderBytes + bytes)))
                {
                    // The channel is closing: OnClosed ends the rest. A ring too small for a packet is the guest's own doing.
                    End();
                    return;
                }
            }
            while (bytes > 0);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            End();
            return;
        }

        bool complete;
        lock (_lock)
        {
            _hostEnded = true;
            complete = _guestEndPassedOn;
        }

        if (complete)
        {
            End();
        }
    }

    private async ValueTask<bool> WriteAsync(VmbusChannel channel, ReadOnlyMemory<byte> packet)
    {
        while (true)
        {
            // Before the try: what becomes writable after it completes this one.
            Task writable = Volatile.Read(ref _writable).Task;
            switch (channel.TryWritePacket(PacketType.DataInBand, PacketFlags.None, 0, packet.Span))
            {
                case RingWriteStatus.Written:
                    return true;
                case RingWriteStatus.Full:
                    await writable;
                    break;
                default:
                    return false;
            }
        }
    }
}

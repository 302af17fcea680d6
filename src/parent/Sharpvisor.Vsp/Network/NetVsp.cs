// The network VSP: a synthetic network card on VMBus, plugged into a port. The other end is drivers/net/hyperv.
using Sharpvisor.Core;
using Sharpvisor.VMBus;

namespace Sharpvisor.Vsp.Network;

/// <summary>A network card. Thread-safe. Connect it to its port with <see cref="Connect"/> once it is on the bus.</summary>
public sealed class NetVsp : IVmbusDevice, INetworkCard
{
    // include/linux/hyperv.h, HV_NIC_GUID.
    private static readonly Guid s_interface = new("f8615163-df3e-46c5-913f-f2d2f965ed0e");

    private readonly INetworkPort _port;
    // Guards what a frame for the guest needs: the adapter's receive side. Never held while the port is called.
    private readonly Lock _lock = new();
    private NetAdapter? _adapter;
    private bool _connected = true;
    private bool _announced = true;
    private bool _paused;
    private bool _refused;

    /// <param name="index">Number of the card in the VM; names it and makes its instance id.</param>
    /// <param name="address">Its permanent address.</param>
    /// <param name="port">What it is plugged into; not disposed of here.</param>
    /// <param name="subchannels">Channels beside the primary one the guest may open: one a VP less one is what guests use.</param>
    /// <param name="statistics">Gets <c>network.nicN.*</c>.</param>
    public NetVsp(int index, MacAddress address, INetworkPort port, ushort subchannels, Statistics statistics)
    {
        ArgumentNullException.ThrowIfNull(port);
        ArgumentNullException.ThrowIfNull(statistics);
        _port = port;
        Address = address;
        Counters = new NetCounters(statistics, $"nic{index}");
        Offer = new VmbusOffer
        {
            Name = $"nic{index}",
            InterfaceId = s_interface,
            InstanceId = new Guid(0x6C4E_1D20, 0x4F1A, (short)index, 0x9C, 0x3E, 0x61, 0x4B, 0x5A, 0x1D, 0x20, 0x02),
            MaxSubchannels = subchannels,
        };
    }

    /// <inheritdoc/>
    public VmbusOffer Offer { get; }

    /// <summary>The permanent address.</summary>
    public MacAddress Address { get; }

    /// <summary>The cable is plugged in: what the guest sees as its carrier.</summary>
    public bool IsLinkUp => Volatile.Read(ref _connected);

    /// <summary>The guest's driver has brought the card up: frames reach it.</summary>
    public bool IsRunning => Volatile.Read(ref _adapter) is { IsReceiving: true };

    /// <summary>The port's largest frame.</summary>
    internal int MaximumFrameBytes => Math.Min(_port.MaximumFrameBytes, FrameCompletion.MaximumFrameBytes);

    internal NetCounters Counters { get; }

    /// <summary>Starts receiving from the port. Once.</summary>
    public void Connect() => _port.Connect(this);

    /// <inheritdoc/>
    public IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData)
    {
        ArgumentNullException.ThrowIfNull(channel);
        if (channel.SubchannelIndex == 0)
        {
            return new NetChannel(this, new NetAdapter(this, channel, _lock), 0);
        }

        return Volatile.Read(ref _adapter) is { } adapter ? new NetChannel(this, adapter, channel.SubchannelIndex) : null;
    }

    /// <inheritdoc/>
    public bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload) => Receive(frame, offload, more: false);

    /// <inheritdoc/>
    public bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload, bool more)
    {
        lock (_lock)
        {
            if (!_paused && (_adapter is not { } adapter || !_connected || adapter.Receive(frame, offload, more)))
            {
                return true;
            }

            _refused = true;
            return false;
        }
    }

    /// <summary>Plugs the cable in or out; a running guest is told.</summary>
    public void SetLink(bool connected)
    {
        lock (_lock)
        {
            Volatile.Write(ref _connected, connected);
            AnnounceLink();
        }

        NotifyReady();
    }

    /// <summary>From its return on nothing is written to the guest's memory, until <see cref="Resume"/>.</summary>
    public void Pause()
    {
        lock (_lock)
        {
            _paused = true;
        }
    }

    /// <summary>Ends <see cref="Pause"/>.</summary>
    public void Resume()
    {
        lock (_lock)
        {
            _paused = false;
            AnnounceLink();
        }

        NotifyReady();
    }

    /// <summary>A frame of the guest's.</summary>
    internal void Send(ReadOnlySpan<byte> frame, FrameOffload offload, byte[] scratch)
    {
        if (!IsLinkUp)
        {
            Counters.TransmitDropped.Increment();
            return;
        }

        Counters.TransmitFrames.Increment();
        Counters.TransmitBytes.Add(frame.Length);
        try
        {
            if (offload.SegmentBytes == 0 || _port.AcceptsLargeSegments)
            {
                _port.Send(frame, offload);
                return;
            }

            int position = 0;
            while (FrameCompletion.Next(frame, offload, ref position, scratch) is > 0 and int bytes)
            {
                _port.Send(scratch.AsSpan(0, bytes), default);
            }
        }
        catch (ObjectDisposedException)
        {
            // The card is being removed: nobody is on the other end of the cable.
            Counters.TransmitDropped.Increment();
        }
    }

    /// <summary>There may be room again for a frame that was refused.</summary>
    internal void NotifyReady()
    {
        lock (_lock)
        {
            if (!_paused)
            {
                _adapter?.DeliverHeld();
            }

            if (!_refused || _paused)
            {
                return;
            }

            _refused = false;
        }

        try
        {
            _port.ReceiveReady();
        }
        catch (ObjectDisposedException)
        {
            // The card is being removed.
        }
    }

    /// <summary>The guest opened the primary channel.</summary>
    internal void OnOpened(NetAdapter adapter)
    {
        lock (_lock)
        {
            Volatile.Write(ref _adapter, adapter);
        }
    }

    /// <summary>The guest closed the primary channel; nothing is written to its memory any more.</summary>
    internal void OnClosed(NetAdapter adapter)
    {
        lock (_lock)
        {
            Interlocked.CompareExchange(ref _adapter, null, adapter);
        }
    }

    // Under the lock. A guest whose driver starts later asks for itself.
    private void AnnounceLink()
    {
        if (_announced != _connected && !_paused)
        {
            _announced = _connected;
            _adapter?.AnnounceLink(_connected);
        }
    }
}

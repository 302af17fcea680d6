// The synthetic mouse: a HID device behind VMBus that reports absolute positions. The other end is drivers/hid/hid-hyperv.c.
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp.Input;

/// <summary>A VM's synthetic pointer. Thread-safe.</summary>
public sealed class MouseVsp : IVmbusDevice, IPointer
{
    private readonly Lock _lock = new();
    private MouseChannel? _channel;

    /// <inheritdoc/>
    public VmbusOffer Offer { get; } = new()
    {
        Name = "mouse",
        InterfaceId = new("cfa8b69e-5b4a-4cc0-b98b-8ba1a1f3f95a"),
        InstanceId = new("58f75a6d-d949-4320-99e1-a2a2576d581c"),
        Flags = OfferFlags.EnumerateDeviceInterface | OfferFlags.NamedPipeMode,
        UserData = PipeMessage.OfferUserData,
    };

    /// <inheritdoc/>
    public bool IsActive => Channel?.IsActive == true;

    private MouseChannel? Channel
    {
        get
        {
            lock (_lock)
            {
                return _channel;
            }
        }
    }

    /// <inheritdoc/>
    public void Report(PointerState state) => Channel?.Report(state);

    /// <inheritdoc/>
    public IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData)
    {
        var opened = new MouseChannel(this);
        lock (_lock)
        {
            _channel = opened;
        }

        return opened;
    }

    internal void ChannelClosed(MouseChannel channel)
    {
        lock (_lock)
        {
            if (_channel == channel)
            {
                _channel = null;
            }
        }
    }
}

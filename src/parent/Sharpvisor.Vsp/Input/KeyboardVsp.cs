// The synthetic keyboard. The other end is drivers/input/serio/hyperv-keyboard.c.
using Sharpvisor.Core;
using Sharpvisor.VMBus;

namespace Sharpvisor.Vsp.Input;

/// <summary>A VM's synthetic keyboard. Thread-safe.</summary>
public sealed class KeyboardVsp : IVmbusDevice, IKeyboard
{
    private readonly Lock _lock = new();
    private KeyboardChannel? _channel;

    /// <inheritdoc/>
    public VmbusOffer Offer { get; } = new()
    {
        Name = "keyboard",
        InterfaceId = new("f912ad6d-2b17-48ea-bd65-f927a61c7684"),
        InstanceId = new("d34b2567-b9b6-42b9-8778-0a4ec0b955bf"),
    };

    /// <inheritdoc/>
    public bool IsActive => Channel?.IsActive == true;

    /// <summary>The LEDs as the guest last set them: scroll lock 1, num lock 2, caps lock 4.</summary>
    public int Leds => Channel?.Leds ?? 0;

    private KeyboardChannel? Channel
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
    public bool TrySend(KeyStroke stroke) => Channel?.TrySend(stroke) ?? true;

    /// <inheritdoc/>
    public IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData)
    {
        var opened = new KeyboardChannel(this);
        lock (_lock)
        {
            _channel = opened;
        }

        return opened;
    }

    internal void ChannelClosed(KeyboardChannel channel)
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

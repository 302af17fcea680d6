// The synthetic display adapter. The other ends are drivers/gpu/drm/hyperv and drivers/video/fbdev/hyperv_fb.c.
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp.Video;

/// <summary>A VM's synthetic screen: nothing is shown until the guest's driver says where and how. Thread-safe.</summary>
public sealed class VideoVsp : IVmbusDevice, IScreen
{
    private readonly Lock _lock = new();
    private VideoChannel? _channel;
    private bool _watched;
    private long _closed;

    /// <param name="memory">The partition's.</param>
    /// <param name="vram">Whole MiBs; the drivers place it in VMBus's MMIO space.</param>
    /// <param name="preferredWidth">What the guest starts with.</param>
    /// <param name="preferredHeight">Likewise.</param>
    public VideoVsp(GuestMemory memory, SharedMemory vram, int preferredWidth = 1024, int preferredHeight = 768)
    {
        ArgumentNullException.ThrowIfNull(vram);
        Memory = memory;
        Vram = vram;
        Resolutions = VideoResolutions.Build(vram.Length, (preferredWidth, preferredHeight));
        Offer = new VmbusOffer
        {
            Name = "video",
            InterfaceId = new("da0a7802-e377-4aac-8e77-0558eb1073f8"),
            InstanceId = new("5620e0c7-8062-4dce-aeb7-520c7ef76171"),
            Flags = OfferFlags.EnumerateDeviceInterface | OfferFlags.NamedPipeMode,
            UserData = PipeMessage.OfferUserData,
            MmioMegabytes = (ushort)(vram.Length >> 20),
        };
    }

    /// <inheritdoc/>
    public VmbusOffer Offer { get; }

    /// <summary>The guest's driver shows a picture here.</summary>
    public bool IsActive => Channel?.Surface.IsActive == true;

    /// <inheritdoc/>
    public long Version => Channel?.Surface.Version ?? Interlocked.Read(ref _closed);

    internal GuestMemory Memory { get; }

    internal SharedMemory Vram { get; }

    /// <summary>The preferred one is the first.</summary>
    internal IReadOnlyList<(int Width, int Height)> Resolutions { get; }

    internal bool IsWatched
    {
        get
        {
            lock (_lock)
            {
                return _watched;
            }
        }
    }

    private VideoChannel? Channel
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
    public bool TryCapture(ScreenImage image) => Channel?.Surface.TryCapture(image) ?? false;

    /// <inheritdoc/>
    public void SetWatched(bool watched)
    {
        VideoChannel? channel;
        lock (_lock)
        {
            _watched = watched;
            channel = _channel;
        }

        channel?.SendFeatureChange();
    }

    /// <inheritdoc/>
    public IChannelHandler? Open(VmbusChannel channel, ReadOnlySpan<byte> userData)
    {
        var opened = new VideoChannel(this);
        lock (_lock)
        {
            _channel = opened;
        }

        return opened;
    }

    internal void ChannelClosed(VideoChannel channel)
    {
        lock (_lock)
        {
            if (_channel == channel)
            {
                _channel = null;
                // Below every surface's versions.
                Interlocked.Decrement(ref _closed);
            }
        }
    }
}

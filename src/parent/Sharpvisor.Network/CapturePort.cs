// Records every frame that passes through a port, in the form in which the card and the port see it: large segments whole, and
// checksums missing where an offload says so.
using Sharpvisor.Core;

namespace Sharpvisor.Network;

/// <summary><c>--pcap FILE</c>: wraps any port.</summary>
public sealed class CapturePort : INetworkPort, INetworkCard
{
    private readonly INetworkPort _port;
    private readonly PcapWriter _file;
    private INetworkCard? _card;

    /// <param name="port">Disposed of with this one, as is <paramref name="file"/>.</param>
    public CapturePort(INetworkPort port, PcapWriter file)
    {
        ArgumentNullException.ThrowIfNull(port);
        ArgumentNullException.ThrowIfNull(file);
        _port = port;
        _file = file;
    }

    /// <inheritdoc/>
    public int MaximumFrameBytes => _port.MaximumFrameBytes;

    /// <inheritdoc/>
    public bool AcceptsLargeSegments => _port.AcceptsLargeSegments;

    /// <inheritdoc/>
    public void Connect(INetworkCard card)
    {
        _card = card;
        _port.Connect(this);
    }

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        _file.Write(frame);
        _port.Send(frame, offload);
    }

    /// <inheritdoc/>
    public bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload) => Receive(frame, offload, more: false);

    /// <inheritdoc/>
    public bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload, bool more)
    {
        if (!_card!.Receive(frame, offload, more))
        {
            return false;
        }

        _file.Write(frame);
        return true;
    }

    /// <inheritdoc/>
    public void ReceiveReady() => _port.ReceiveReady();

    /// <inheritdoc/>
    public void Dispose()
    {
        _port.Dispose();
        _file.Dispose();
    }
}

// The connecting end of a SharedSwitch. Frames on the stream are complete: segments are cut and checksums filled in before.
using Sharpvisor.Core;

namespace Sharpvisor.Network;

internal sealed class SwitchClient(FrameStream stream) : SwitchLink
{
    private readonly CompletingSender _sender = new(stream);

    public override bool IsServing => false;

    public override void Send(ReadOnlySpan<byte> frame, FrameOffload offload) => _sender.Send(frame, offload);

    public override void Receive(CardGate card)
    {
        while (stream.TryReceive(out ReadOnlySpan<byte> frame) && card.Deliver(frame, default, stream.HasFrame))
        {
        }
    }

    public override void Close() => stream.Close();

    public override void Dispose() => stream.Dispose();
}

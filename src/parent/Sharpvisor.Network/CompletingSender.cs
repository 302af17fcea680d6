// Sends frames on a stream whose other end wants them complete.
using Sharpvisor.Core;

namespace Sharpvisor.Network;

internal sealed class CompletingSender(FrameStream stream)
{
    private readonly byte[] _complete = new byte[FrameCompletion.MaximumFrameBytes];
    private readonly Lock _lock = new();

    public void Send(ReadOnlySpan<byte> frame, FrameOffload offload)
    {
        if (offload == default)
        {
            stream.Send(frame);
            return;
        }

        lock (_lock)
        {
            int position = 0;
            int bytes;
            while ((bytes = FrameCompletion.Next(frame, offload, ref position, _complete)) > 0)
            {
                stream.Send(_complete.AsSpan(0, bytes));
            }
        }
    }
}

// The display adapter's open channel (drivers/gpu/drm/hyperv/hyperv_drm_proto.c: hyperv_connect_vsp and hyperv_receive_sub).
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Sharpvisor.VMBus;

namespace Sharpvisor.Vsp.Video;

internal sealed class VideoChannel(VideoVsp vsp) : IChannelHandler
{
    // SYNTHVID_VERSION(3, 2) to (3, 5): the minor version is in the upper half.
    private const uint Major = 3;
    private const uint LowestMinor = 2;
    private const uint HighestMinor = 5;

    // "Accepted, and the host will tell its own version": what Hyper-V answers.
    private const byte AcceptedWithVersionExchange = 2;
    private const int EdidBytes = 128;
    private const int QueueLimit = 64;

    private readonly Lock _gate = new();
    private readonly OutgoingMessages _outgoing = new(QueueLimit);
    private bool _accepted;
    private bool _dirtNeeded;

    public VideoSurface Surface { get; } = new(vsp.Memory, vsp.Vram);

    public void OnOpened(VmbusChannel channel)
    {
        lock (_gate)
        {
            _outgoing.Open(channel);
        }
    }

    public bool OnPacket(VmbusChannel channel, in IncomingPacket packet)
    {
        if (!PipeMessage.TryParse(packet, out uint type, out ReadOnlySpan<byte> body))
        {
            return true;
        }

        lock (_gate)
        {
            if ((VideoMessage)type == VideoMessage.VersionRequest)
            {
                AnswerVersion(body);
            }
            else if (_accepted)
            {
                Take((VideoMessage)type, body);
            }
        }

        return true;
    }

    public void OnWritable(VmbusChannel channel)
    {
        lock (_gate)
        {
            _outgoing.Drain();
        }
    }

    public void OnClosed(VmbusChannel channel)
    {
        lock (_gate)
        {
            _accepted = false;
            _outgoing.Close();
        }

        Surface.Close();
        vsp.ChannelClosed(this);
    }

    /// <summary>Tells the guest whether anybody looks.</summary>
    public void SendFeatureChange()
    {
        lock (_gate)
        {
            if (!_accepted)
            {
                return;
            }

            _dirtNeeded = vsp.IsWatched;
            Surface.Changed(trusted: false);
            byte[] message = Message(VideoMessage.FeatureChange, 4);
            message.AsSpan(PipeMessage.HeaderBytes).Fill(_dirtNeeded ? (byte)1 : (byte)0);
            _ = _outgoing.TrySend(message);
        }
    }

    // Under the lock, as all that follows.
    private void Take(VideoMessage type, ReadOnlySpan<byte> body)
    {
        switch (type)
        {
            case VideoMessage.VramLocation when body.Length >= VramLocation.Bytes:
                VramLocation location = MemoryMarshal.Read<VramLocation>(body);
                // Drivers compare the context with their own: another one says that this cannot be.
                SendContext(VideoMessage.VramLocationAck, Surface.TryPlace(location) ? location.UserContext : ~location.UserContext);
                break;
            case VideoMessage.SituationUpdate when body.Length >= SituationUpdate.Bytes:
                SituationUpdate situation = MemoryMarshal.Read<SituationUpdate>(body);
                Surface.Update(situation);
                SendContext(VideoMessage.SituationUpdateAck, situation.UserContext);
                if (vsp.IsWatched && !_dirtNeeded)
                {
                    SendFeatureChange();
                }

                break;
            case VideoMessage.PointerPosition when body.Length >= PointerPosition.Bytes:
                Surface.MovePointer(MemoryMarshal.Read<PointerPosition>(body));
                break;
            case VideoMessage.PointerShape when body.Length >= PointerShape.Bytes:
                TakeShape(body);
                break;
            case VideoMessage.Dirt:
                // What has changed is found by looking; that something has is worth knowing.
                Surface.Changed(_dirtNeeded);
                break;
            case VideoMessage.ResolutionRequest when body.Length >= 1:
                AnswerResolutions(body[0]);
                break;
            case VideoMessage.BiosInfoRequest:
                _ = _outgoing.TrySend(Message(VideoMessage.BiosInfoResponse, 16));
                break;
            case VideoMessage.CapabilityRequest:
                _ = _outgoing.TrySend(Message(VideoMessage.CapabilityResponse, 64));
                break;
            default:
                break;
        }
    }

    private void AnswerVersion(ReadOnlySpan<byte> body)
    {
        if (body.Length < 4)
        {
            return;
        }

        uint version = BinaryPrimitives.ReadUInt32LittleEndian(body);
        _accepted = (version & 0xFFFF) == Major && version >> 16 is >= LowestMinor and <= HighestMinor;
        byte[] message = Message(VideoMessage.VersionResponse, 6);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(PipeMessage.HeaderBytes), version);
        message[^2] = _accepted ? AcceptedWithVersionExchange : (byte)0;
        message[^1] = 1;
        _ = _outgoing.TrySend(message);
    }

    private void AnswerResolutions(byte most)
    {
        int count = Math.Min(vsp.Resolutions.Count, most);
        byte[] message = Message(VideoMessage.ResolutionResponse, EdidBytes + 3 + (4 * count));
        // No EDID: the drivers go by the list. The default is its first entry.
        Span<byte> response = message.AsSpan(PipeMessage.HeaderBytes + EdidBytes);
        response[0] = (byte)count;
        for (int i = 0; i < count; i++)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(response[(3 + (4 * i))..], (ushort)vsp.Resolutions[i].Width);
            BinaryPrimitives.WriteUInt16LittleEndian(response[(5 + (4 * i))..], (ushort)vsp.Resolutions[i].Height);
        }

        _ = _outgoing.TrySend(message);
    }

    private void TakeShape(ReadOnlySpan<byte> body)
    {
        PointerShape shape = MemoryMarshal.Read<PointerShape>(body);
        ReadOnlySpan<byte> pixels = body[PointerShape.Bytes..];
        if (shape.Part == PointerShape.Complete && shape.IsArgb != 0
            && shape.Width <= PointerShape.LargestSide && shape.Height <= PointerShape.LargestSide
            && (uint)pixels.Length >= shape.Width * shape.Height * 4)
        {
            Surface.ShapePointer(shape, pixels);
        }
    }

    private void SendContext(VideoMessage type, ulong context)
    {
        byte[] message = Message(type, 8);
        BinaryPrimitives.WriteUInt64LittleEndian(message.AsSpan(PipeMessage.HeaderBytes), context);
        _ = _outgoing.TrySend(message);
    }

    private static byte[] Message(VideoMessage type, int bodyBytes) => PipeMessage.Create((uint)type, bodyBytes, bodyBytes + 8);
}

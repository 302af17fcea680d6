// A guest's display driver in C#, after drivers/gpu/drm/hyperv/hyperv_drm_proto.c; messages are laid out by offset, independently of the server's.
using System.Buffers.Binary;

namespace Sharpvisor.Vsc.Video;

/// <summary>An open video channel. One thread at a time.</summary>
public sealed class VideoVsc(GuestChannel channel) : PipeVsc(channel, sizeIncludesHeader: true)
{
    /// <summary>hyperv_negotiate_version; true when the host takes the version.</summary>
    public bool RequestVersion(ushort major, ushort minor)
    {
        byte[] body = new byte[4];
        BinaryPrimitives.WriteUInt16LittleEndian(body, major);
        BinaryPrimitives.WriteUInt16LittleEndian(body.AsSpan(2), minor);
        Send(1, body);
        return Receive(2)[4] != 0;
    }

    /// <summary>hyperv_get_supported_resolution: the list, and the default's place in it.</summary>
    public (IReadOnlyList<(int Width, int Height)> Resolutions, int Default) RequestResolutions(byte most = 64)
    {
        Send(13, [most]);
        byte[] answer = Receive(14);
        var list = new List<(int, int)>();
        for (int i = 0; i < answer[128]; i++)
        {
            ReadOnlySpan<byte> entry = answer.AsSpan(131 + (4 * i));
            list.Add((BinaryPrimitives.ReadUInt16LittleEndian(entry), BinaryPrimitives.ReadUInt16LittleEndian(entry[2..])));
        }

        return (list, answer[129]);
    }

    /// <summary>hyperv_update_vram_location; true when the host acknowledges it.</summary>
    public bool PlaceVram(ulong gpa)
    {
        byte[] body = new byte[17];
        BinaryPrimitives.WriteUInt64LittleEndian(body, gpa);
        body[8] = 1;
        BinaryPrimitives.WriteUInt64LittleEndian(body.AsSpan(9), gpa);
        Send(3, body);
        return BinaryPrimitives.ReadUInt64LittleEndian(Receive(4)) == gpa;
    }

    /// <summary>hyperv_update_situation, and the host's acknowledgement.</summary>
    public void UpdateSituation(bool active, int depth, uint width, uint height, uint pitch, uint offset = 0)
    {
        byte[] body = new byte[27];
        body[0] = 0x5A;
        body[8] = 1;
        body[9] = active ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(10), offset);
        body[14] = (byte)depth;
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(15), width);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(19), height);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(23), pitch);
        Send(5, body);
        if (Receive(6)[0] != 0x5A)
        {
            throw new InvalidDataException("another situation was acknowledged");
        }
    }

    /// <summary>Sends a complete pointer shape and its place.</summary>
    public void ShowPointer(int x, int y, int width, int height, ReadOnlySpan<byte> argb)
    {
        byte[] shape = new byte[18 + argb.Length];
        shape[0] = 0xFF;
        shape[1] = 1;
        BinaryPrimitives.WriteInt32LittleEndian(shape.AsSpan(2), width);
        BinaryPrimitives.WriteInt32LittleEndian(shape.AsSpan(6), height);
        argb.CopyTo(shape.AsSpan(18));
        Send(8, shape);
        byte[] position = new byte[10];
        position[0] = 1;
        BinaryPrimitives.WriteInt32LittleEndian(position.AsSpan(2), x);
        BinaryPrimitives.WriteInt32LittleEndian(position.AsSpan(6), y);
        Send(7, position);
    }

    /// <summary>hyperv_update_dirt.</summary>
    public void ReportDirt(int left, int top, int right, int bottom)
    {
        byte[] body = new byte[18];
        body[1] = 1;
        BinaryPrimitives.WriteInt32LittleEndian(body.AsSpan(2), left);
        BinaryPrimitives.WriteInt32LittleEndian(body.AsSpan(6), top);
        BinaryPrimitives.WriteInt32LittleEndian(body.AsSpan(10), right);
        BinaryPrimitives.WriteInt32LittleEndian(body.AsSpan(14), bottom);
        Send(10, body);
    }

    /// <summary>Waits for SYNTHVID_FEATURE_CHANGE: whether the host wants to hear of changes.</summary>
    public bool ReceiveFeatureChange() => Receive(9)[0] != 0;
}

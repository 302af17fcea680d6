// Ethernet frames over a stream socket, each behind its length in four bytes, big-endian: what passt speaks (passt(1)), QEMU calls
// "-netdev stream" and our switch speaks as well.
using System.Buffers.Binary;
using System.Net.Sockets;

namespace Sharpvisor.Network;

/// <summary>One connection. One thread receives, any thread sends.</summary>
internal sealed class FrameStream : IDisposable
{
    /// <summary>The longest frame either end sends.</summary>
    public const int MaximumFrameBytes = 65535;

    private const int MinimumFrameBytes = 14;
    private const int LengthBytes = 4;
    private const int ReceiveBytes = 256 << 10;
    private const int SocketBytes = 1 << 20;
    private readonly Socket _socket;
    private readonly Lock _sendLock = new();
    private readonly byte[] _sent = new byte[LengthBytes + MaximumFrameBytes];
    private readonly byte[] _received = new byte[ReceiveBytes];
    private int _start;
    private int _end;
    private bool _broken;

    public FrameStream(Socket socket)
    {
        _socket = socket;
        _socket.SendBufferSize = SocketBytes;
        _socket.ReceiveBufferSize = SocketBytes;
    }

    /// <summary>Sends a complete frame; blocks while the other end's queue is full. Dropped when the connection is gone.</summary>
    public void Send(ReadOnlySpan<byte> frame)
    {
        if (frame.Length is < MinimumFrameBytes or > MaximumFrameBytes)
        {
            return;
        }

        lock (_sendLock)
        {
            if (_broken)
            {
                return;
            }

            BinaryPrimitives.WriteInt32BigEndian(_sent, frame.Length);
            frame.CopyTo(_sent.AsSpan(LengthBytes));
            ReadOnlySpan<byte> rest = _sent.AsSpan(0, LengthBytes + frame.Length);
            while (rest.Length > 0)
            {
                int count = _socket.Send(rest, SocketFlags.None, out SocketError error);
                if (error != SocketError.Success)
                {
                    // A frame may be half sent: nothing can follow it.
                    _broken = true;
                    return;
                }

                rest = rest[count..];
            }
        }
    }

    /// <summary>The next <see cref="TryReceive"/> returns a frame without waiting.</summary>
    public bool HasFrame => _end - _start >= LengthBytes
        && BinaryPrimitives.ReadUInt32BigEndian(_received.AsSpan(_start)) is var length and >= MinimumFrameBytes and <= MaximumFrameBytes
        && _end - _start - LengthBytes >= (int)length;

    /// <summary>Waits for a frame, which stays valid until the next call. False: the connection ended, or what came is no frame.</summary>
    public bool TryReceive(out ReadOnlySpan<byte> frame)
    {
        frame = default;
        while (true)
        {
            int available = _end - _start;
            if (available >= LengthBytes)
            {
                uint length = BinaryPrimitives.ReadUInt32BigEndian(_received.AsSpan(_start));
                if (length is < MinimumFrameBytes or > MaximumFrameBytes)
                {
                    return false;
                }

                if (available >= LengthBytes + (int)length)
                {
                    frame = _received.AsSpan(_start + LengthBytes, (int)length);
                    _start += LengthBytes + (int)length;
                    return true;
                }
            }

            if (!TryFill(available))
            {
                return false;
            }
        }
    }

    /// <summary>Ends the connection for both sides; a receive or send under way returns.</summary>
    public void Close()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Its other end was first.
        }
    }

    public void Dispose()
    {
        Close();
        lock (_sendLock)
        {
            _broken = true;
            _socket.Dispose();
        }
    }

    private bool TryFill(int available)
    {
        // Move what is left to the front only when a frame might not fit behind it: mostly there is nothing to move.
        if (available == 0 || _received.Length - _start < LengthBytes + MaximumFrameBytes)
        {
            _received.AsSpan(_start, available).CopyTo(_received);
            _start = 0;
            _end = available;
        }

        int count = _socket.Receive(_received.AsSpan(_end), SocketFlags.None, out SocketError error);
        if (error != SocketError.Success || count == 0)
        {
            return false;
        }

        _end += count;
        return true;
    }
}

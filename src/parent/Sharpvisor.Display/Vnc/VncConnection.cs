// One client of the VNC server, from its version to its end (The RFB Protocol 3.8: 7.1 to 7.6). A client is hostile until proved otherwise: everything it
// can make the server hold or wait for has a bound.
using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;

namespace Sharpvisor.Display.Vnc;

internal sealed class VncConnection : IDisposable
{
    private const int LargestCutText = 1 << 20;
    private static readonly TimeSpan s_handshakeLimit = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan s_sendLimit = TimeSpan.FromSeconds(20);
    private static readonly byte[] s_version = "RFB 003.008\n"u8.ToArray();

    private readonly VncServer _server;
    private readonly NetworkStream _stream;
    private readonly CancellationTokenSource _stop;
    private readonly ClientInput _input;
    private readonly SemaphoreSlim _requested = new(0);
    private readonly Lock _lock = new();
    private readonly byte[] _buffer = new byte[256];
    private ClientView? _view;
    private bool _isRequestPending;

    public VncConnection(VncServer server, Socket socket, CancellationToken stop)
    {
        _server = server;
        _stream = new NetworkStream(socket, ownsSocket: true);
        _stop = CancellationTokenSource.CreateLinkedTokenSource(stop);
        _input = new ClientInput(server.Keyboard, server.Pointer);
    }

    /// <summary>Ends with the connection; does not throw.</summary>
    public async Task RunAsync()
    {
        bool isWatching = false;
        Task updates = Task.CompletedTask;
        try
        {
            using (var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token))
            {
                limit.CancelAfter(s_handshakeLimit);
                if (!await HandshakeAsync(limit.Token))
                {
                    return;
                }
            }

            _server.Feed.AddWatcher();
            isWatching = true;
            updates = SendUpdatesAsync();
            await ReadMessagesAsync();
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException or VncException)
        {
            // The client went away, was too slow, or broke the protocol.
        }
        finally
        {
            await _stop.CancelAsync();
            await updates;
            _input.ReleaseAll();
            if (isWatching)
            {
                _server.Feed.RemoveWatcher();
            }
        }
    }

    public void Dispose()
    {
        _stream.Dispose();
        _stop.Dispose();
        _requested.Dispose();
        _view?.Dispose();
    }

    private async Task<bool> HandshakeAsync(CancellationToken cancellation)
    {
        await _stream.WriteAsync(s_version, cancellation);
        await ReadAsync(12, cancellation);
        string version = Encoding.ASCII.GetString(_buffer, 0, 12);
        if (!version.StartsWith("RFB 003.00", StringComparison.Ordinal))
        {
            return false;
        }

        // 7.1.1: other minor versions than 3, 7 and 8 are to be taken as 3.
        int minor = version[10] switch { '8' => 8, '7' => 7, _ => 3 };
        if (!await AuthenticateAsync(minor, cancellation))
        {
            return false;
        }

        // ClientInit's shared flag: everybody shares.
        await ReadAsync(1, cancellation);
        lock (_lock)
        {
            _view = new ClientView(_server.Feed);
        }

        byte[] name = Encoding.UTF8.GetBytes(_server.Name);
        byte[] init = new byte[24 + name.Length];
        BinaryPrimitives.WriteUInt16BigEndian(init, (ushort)_view.Width);
        BinaryPrimitives.WriteUInt16BigEndian(init.AsSpan(2), (ushort)_view.Height);
        PixelFormat.WriteNative(init.AsSpan(4));
        BinaryPrimitives.WriteInt32BigEndian(init.AsSpan(20), name.Length);
        name.CopyTo(init, 24);
        await _stream.WriteAsync(init, cancellation);
        return true;
    }

    private async Task<bool> AuthenticateAsync(int minor, CancellationToken cancellation)
    {
        const byte None = 1;
        const byte VncAuth = 2;
        VncAuthentication? password = _server.Authentication;
        byte type = password is null ? None : VncAuth;
        if (minor == 3)
        {
            await _stream.WriteAsync(new byte[] { 0, 0, 0, type }, cancellation);
        }
        else
        {
            await _stream.WriteAsync(new byte[] { 1, type }, cancellation);
            await ReadAsync(1, cancellation);
            if (_buffer[0] != type)
            {
                return false;
            }
        }

        if (password is null)
        {
            // Before 3.8 nothing follows "None".
            await _stream.WriteAsync(new byte[minor == 8 ? 4 : 0], cancellation);
            return true;
        }

        byte[] challenge = VncAuthentication.CreateChallenge();
        await _stream.WriteAsync(challenge, cancellation);
        await ReadAsync(VncAuthentication.ChallengeBytes, cancellation);
        bool accepted = password.Accepts(challenge, _buffer.AsSpan(0, VncAuthentication.ChallengeBytes));
        if (accepted)
        {
            await _stream.WriteAsync(new byte[4], cancellation);
            return true;
        }

        // Whoever guesses waits.
        await Task.Delay(1000, cancellation);
        byte[] reason = "wrong password"u8.ToArray();
        byte[] failed = [0, 0, 0, 1, 0, 0, 0, (byte)reason.Length, .. reason];
        await _stream.WriteAsync(minor == 8 ? failed : failed.AsMemory(0, 4), cancellation);
        return false;
    }

    private async Task ReadMessagesAsync()
    {
        CancellationToken cancellation = _stop.Token;
        while (true)
        {
            await ReadAsync(1, cancellation);
            switch (_buffer[0])
            {
                case 0:
                    await ReadAsync(3 + PixelFormat.WireBytes, cancellation);
                    SetPixelFormat();
                    break;
                case 2:
                    await ReadEncodingsAsync(cancellation);
                    break;
                case 3:
                    await ReadAsync(9, cancellation);
                    Request();
                    break;
                case 4:
                    await ReadAsync(7, cancellation);
                    await _input.KeyAsync(BinaryPrimitives.ReadUInt32BigEndian(_buffer.AsSpan(3)), _buffer[0] != 0, cancellation);
                    break;
                case 5:
                    await ReadAsync(5, cancellation);
                    TakePointer();
                    break;
                case 6:
                    await ReadAsync(7, cancellation);
                    await SkipAsync(BinaryPrimitives.ReadUInt32BigEndian(_buffer.AsSpan(3)), cancellation);
                    break;
                case 255:
                    await ReadAsync(11, cancellation);
                    if (_buffer[0] != 0)
                    {
                        throw new VncException("an unknown QEMU message");
                    }

                    bool down = BinaryPrimitives.ReadUInt16BigEndian(_buffer.AsSpan(1)) != 0;
                    await _input.ScanCodeAsync(BinaryPrimitives.ReadUInt32BigEndian(_buffer.AsSpan(7)), down, cancellation);
                    break;
                default:
                    throw new VncException($"an unknown message {_buffer[0]}");
            }
        }
    }

    private void SetPixelFormat()
    {
        var format = PixelFormat.Parse(_buffer.AsSpan(3));
        lock (_lock)
        {
            _view!.Format = format;
            _view.Invalidate(0, 0, _view.Width, _view.Height);
        }
    }

    private async Task ReadEncodingsAsync(CancellationToken cancellation)
    {
        await ReadAsync(3, cancellation);
        int count = BinaryPrimitives.ReadUInt16BigEndian(_buffer.AsSpan(1));
        int? chosen = null;
        bool desktopSize = false;
        bool extendedKeys = false;
        for (int i = 0; i < count; i++)
        {
            await ReadAsync(4, cancellation);
            int encoding = BinaryPrimitives.ReadInt32BigEndian(_buffer);
            desktopSize |= encoding == ClientView.DesktopSize;
            extendedKeys |= encoding == ClientView.QemuExtendedKeys;
            if (RectangleEncoder.IsSupported(encoding))
            {
                chosen ??= encoding;
            }
        }

        lock (_lock)
        {
            _view!.Encoding = chosen ?? RectangleEncoder.Raw;
            _view.TakesDesktopSize = desktopSize;
            _view.OweExtendedKeys = extendedKeys;
        }
    }

    private void Request()
    {
        bool isIncremental = _buffer[0] != 0;
        int U16(int offset) => BinaryPrimitives.ReadUInt16BigEndian(_buffer.AsSpan(offset));
        lock (_lock)
        {
            if (!isIncremental)
            {
                _view!.Invalidate(U16(1), U16(3), U16(5), U16(7));
            }

            if (!_isRequestPending)
            {
                _isRequestPending = true;
                _requested.Release();
            }
        }
    }

    private void TakePointer()
    {
        int x = BinaryPrimitives.ReadUInt16BigEndian(_buffer.AsSpan(1));
        int y = BinaryPrimitives.ReadUInt16BigEndian(_buffer.AsSpan(3));
        (int width, int height) = (0, 0);
        lock (_lock)
        {
            (width, height) = (_view!.Width, _view.Height);
        }

        _input.Pointer(_buffer[0], x, y, width, height);
    }

    // One message a request: a client that does not ask gets nothing.
    private async Task SendUpdatesAsync()
    {
        try
        {
            while (true)
            {
                await _requested.WaitAsync(_stop.Token);
                ReadOnlyMemory<byte> message;
                while ((message = TakeUpdate()).IsEmpty)
                {
                    await Task.Delay(ScreenFeed.FrameMilliseconds, _stop.Token);
                }

                using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
                limit.CancelAfter(s_sendLimit);
                await _stream.WriteAsync(message, limit.Token);
            }
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
        {
            await _stop.CancelAsync();
        }
    }

    private ReadOnlyMemory<byte> TakeUpdate()
    {
        lock (_lock)
        {
            ReadOnlyMemory<byte> message = _view!.BuildUpdate();
            _isRequestPending &= message.IsEmpty;
            return message;
        }
    }

    private async Task ReadAsync(int bytes, CancellationToken cancellation) =>
        await _stream.ReadExactlyAsync(_buffer.AsMemory(0, bytes), cancellation);

    private async Task SkipAsync(uint bytes, CancellationToken cancellation)
    {
        if (bytes > LargestCutText)
        {
            throw new VncException("the clipboard is too large");
        }

        while (bytes > 0)
        {
            int part = (int)Math.Min(bytes, (uint)_buffer.Length);
            await ReadAsync(part, cancellation);
            bytes -= (uint)part;
        }
    }
}

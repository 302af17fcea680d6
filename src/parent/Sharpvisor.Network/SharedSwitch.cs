// A switch between VM processes at a path: the first process holds the switch and listens on a unix socket, the others connect and
// speak FrameStream. Which one is first is decided by a lock on PATH.lock; when it ends, one of the others takes over.
using System.Net.Sockets;
using Sharpvisor.Core;

namespace Sharpvisor.Network;

/// <summary><c>--net switch=PATH</c>.</summary>
public sealed class SharedSwitch : INetworkPort
{
    private const int RetryMilliseconds = 100;
    private const int MaximumRetries = 50;
    private readonly string _path;
    private readonly Action<string> _report;
    private readonly CardGate _card = new();
    private readonly object _lock = new();
    private SwitchLink? _link;
    private Thread? _receiver;
    private bool _disposed;

    /// <param name="report">Gets a line when the switch is lost for good.</param>
    /// <exception cref="NetworkException">Nothing can be made or reached at this path.</exception>
    public SharedSwitch(string path, Action<string> report)
    {
        _path = path;
        _report = report;
        _link = Open();
    }

    /// <inheritdoc/>
    public int MaximumFrameBytes => FrameStream.MaximumFrameBytes;

    /// <inheritdoc/>
    public bool AcceptsLargeSegments => true;

    /// <summary>True when this process holds the switch.</summary>
    internal bool IsServing => Volatile.Read(ref _link)?.IsServing ?? false;

    /// <inheritdoc/>
    public void Connect(INetworkCard card)
    {
        _card.Connect(card);
        _receiver = new Thread(Receive) { IsBackground = true, Name = "net switch" };
        _receiver.Start();
    }

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> frame, FrameOffload offload) => Volatile.Read(ref _link)?.Send(frame, offload);

    /// <inheritdoc/>
    public void ReceiveReady() => _card.ReceiveReady();

    /// <inheritdoc/>
    public void Dispose()
    {
        SwitchLink? link;
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            link = _link;
            _card.Close();
            Monitor.PulseAll(_lock);
        }

        link?.Close();
        _receiver?.Join();
        _link?.Dispose();
        _card.Dispose();
    }

    private SwitchLink Open()
    {
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                if (SwitchLink.TryServe(_path) is { } served)
                {
                    return served;
                }

                if (SwitchLink.TryConnect(_path) is { } connected)
                {
                    return connected;
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or SocketException or ArgumentException)
            {
                throw new NetworkException($"--net switch={_path}: {e.Message}");
            }

            if (attempt == MaximumRetries)
            {
                throw new NetworkException($"--net switch={_path}: another process holds the switch and does not answer");
            }

            // Between its lock and its listening, the first process needs a moment.
            lock (_lock)
            {
                if (_disposed)
                {
                    throw new NetworkException($"--net switch={_path}: closed");
                }

                _ = Monitor.Wait(_lock, RetryMilliseconds);
            }
        }
    }

    private void Receive()
    {
        while (true)
        {
            _link!.Receive(_card);
            lock (_lock)
            {
                if (_disposed)
                {
                    return;
                }
            }

            SwitchLink lost = _link;
            try
            {
                SwitchLink link = Open();
                bool disposed;
                lock (_lock)
                {
                    disposed = _disposed;
                    Volatile.Write(ref _link, link);
                }

                lost.Dispose();
                if (disposed)
                {
                    return;
                }
            }
            catch (NetworkException e)
            {
                if (!_disposed)
                {
                    _report($"{e.Message}; the network is down");
                }

                return;
            }
        }
    }
}

// User-mode NAT: a port whose network is passt, which is started, watched, and started again when it dies.
using Sharpvisor.Core;

namespace Sharpvisor.Network;

/// <summary><c>--net user</c>.</summary>
public sealed class PasstPort : INetworkPort
{
    private const int RestartDelayMilliseconds = 1000;
    private const int MaximumRestarts = 5;
    private readonly PasstOptions _options;
    private readonly Action<string> _report;
    private readonly CardGate _card = new();
    private readonly object _lock = new();
    private PasstProcess _passt;
    private Thread? _receiver;
    private bool _disposed;

    /// <param name="report">Gets a line when passt ends unasked.</param>
    /// <exception cref="NetworkException">passt is not installed, or refuses.</exception>
    public PasstPort(PasstOptions options, Action<string> report)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _report = report;
        _passt = PasstProcess.Start(options);
    }

    /// <inheritdoc/>
    public int MaximumFrameBytes => FrameStream.MaximumFrameBytes;

    /// <inheritdoc/>
    /// <remarks>passt ends TCP connections itself, and looks neither at checksums nor at what the segments' size would be on a wire.</remarks>
    public bool AcceptsLargeSegments => true;

    internal int PasstPid => _passt.Pid;

    /// <inheritdoc/>
    public void Connect(INetworkCard card)
    {
        _card.Connect(card);
        _receiver = new Thread(Receive) { IsBackground = true, Name = "net user" };
        _receiver.Start();
    }

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> frame, FrameOffload offload) => Volatile.Read(ref _passt).Stream.Send(frame);

    /// <inheritdoc/>
    public void ReceiveReady() => _card.ReceiveReady();

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            _passt.Stream.Close();
            _card.Close();
            Monitor.PulseAll(_lock);
        }

        _receiver?.Join();
        _passt.Dispose();
        _card.Dispose();
    }

    /// <summary>For tests: what a crash of passt would be.</summary>
    internal void KillPasst() => _passt.Terminate();

    private void Receive()
    {
        int restarts = 0;
        do
        {
            while (_passt.Stream.TryReceive(out ReadOnlySpan<byte> frame) && _card.Deliver(frame, default, _passt.Stream.HasFrame))
            {
                restarts = 0;
            }
        }
        while (TryRestart(++restarts));
    }

    // Connections are lost as when a router is replaced; addresses stay, for they are fixed.
    private bool TryRestart(int attempt)
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return false;
            }

            _passt.Stream.Close();
            string reason = _passt.WaitForExit();
            _passt.Dispose();
            if (attempt > MaximumRestarts)
            {
                _report($"--net user: passt ended again ({reason}); the network is down");
                return false;
            }

            _report($"--net user: passt ended ({reason}); starting it again");
            _ = Monitor.Wait(_lock, RestartDelayMilliseconds);
            if (_disposed)
            {
                return false;
            }

            try
            {
                Volatile.Write(ref _passt, PasstProcess.Start(_options));
                return true;
            }
            catch (NetworkException e)
            {
                _report($"--net user: {e.Message}; the network is down");
                return false;
            }
        }
    }
}

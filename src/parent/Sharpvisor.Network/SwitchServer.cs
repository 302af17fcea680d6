// The process that holds a SharedSwitch: a LearningSwitch with a port for its own card and one for every connection.
using System.Net.Sockets;
using Sharpvisor.Core;

namespace Sharpvisor.Network;

internal sealed class SwitchServer : SwitchLink
{
    private const int Backlog = 16;
    private const int MaximumConnections = 64;
    private readonly string _path;
    private readonly FileStream _lockFile;
    private readonly LearningSwitch _switch = new();
    private readonly INetworkPort _port;
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly Thread _acceptor;
    private readonly Lock _lock = new();
    private readonly HashSet<Connection> _connections = [];
    private readonly ManualResetEventSlim _ended = new();
    private bool _closed;

    public SwitchServer(string path, FileStream lockFile)
    {
        _path = path;
        _lockFile = lockFile;
        _port = _switch.CreatePort();
        try
        {
            // A socket that is there belonged to a process that was killed: whoever holds the lock is the only one.
            File.Delete(path);
            _listener.Bind(new UnixDomainSocketEndPoint(path));
            _listener.Listen(Backlog);
        }
        catch
        {
            _listener.Dispose();
            _port.Dispose();
            throw;
        }

        _acceptor = new Thread(Accept) { IsBackground = true, Name = "net switch accept" };
        _acceptor.Start();
    }

    public override bool IsServing => true;

    public override void Send(ReadOnlySpan<byte> frame, FrameOffload offload) => _port.Send(frame, offload);

    public override void Receive(CardGate card)
    {
        _port.Connect(new LocalCard(card));
        _ended.Wait();
    }

    public override void Close()
    {
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            _closed = true;
        }

        // Ends accept(2) as well.
        _listener.Close();
        _ended.Set();
    }

    public override void Dispose()
    {
        Close();
        _acceptor.Join();
        Connection[] connections;
        lock (_lock)
        {
            connections = [.. _connections];
        }

        try
        {
            // Before the connections end: those that lose them then make a new one.
            File.Delete(_path);
            _lockFile.Dispose();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The next process that holds the lock deletes it.
        }

        foreach (Connection connection in connections)
        {
            connection.End();
        }

        _port.Dispose();
        _ended.Dispose();
    }

    private void Accept()
    {
        try
        {
            while (true)
            {
                Socket socket = _listener.Accept();
                lock (_lock)
                {
                    if (_closed || _connections.Count >= MaximumConnections)
                    {
                        socket.Dispose();
                        continue;
                    }

                    var connection = new Connection(_switch.CreatePort(), new FrameStream(socket), Remove);
                    _ = _connections.Add(connection);
                    connection.Start();
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed.
        }
    }

    private void Remove(Connection connection)
    {
        lock (_lock)
        {
            _ = _connections.Remove(connection);
        }

        connection.Release();
    }

    private sealed class LocalCard(CardGate gate) : INetworkCard
    {
        // The port's own thread waits in the gate while the card has no room.
        public bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload, bool more)
        {
            _ = gate.Deliver(frame, offload, more);
            return true;
        }

        public bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload) => Receive(frame, offload, more: false);
    }

    private sealed class Connection(INetworkPort port, FrameStream stream, Action<Connection> ended) : INetworkCard
    {
        private readonly CompletingSender _sender = new(stream);
        private Thread? _receiver;

        public void Start()
        {
            port.Connect(this);
            _receiver = new Thread(Receive) { IsBackground = true, Name = "net switch connection" };
            _receiver.Start();
        }

        // Blocks while the other process does not read: its port's queue then fills, and only its own frames are dropped.
        public bool Receive(ReadOnlySpan<byte> frame, FrameOffload offload)
        {
            _sender.Send(frame, offload);
            return true;
        }

        public void Release()
        {
            stream.Close();
            port.Dispose();
            stream.Dispose();
        }

        public void End()
        {
            stream.Close();
            _receiver?.Join();
        }

        private void Receive()
        {
            while (stream.TryReceive(out ReadOnlySpan<byte> frame))
            {
                port.Send(frame, default);
            }

            ended(this);
        }
    }
}

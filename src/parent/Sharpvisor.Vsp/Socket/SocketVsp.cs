// Hyper-V sockets on the host: the guest's AF_VSOCK meets unix sockets, named as users of Firecracker and cloud-hypervisor know it. With a
// path P: the guest's connect to port N of CID 2 goes to the unix socket P_N; a program that connects to P and writes
// "CONNECT N\n" reaches the guest's listener on port N and reads "OK M\n", M being the port it comes from.
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Sharpvisor.VMBus;
using HostSocket = System.Net.Sockets.Socket;

namespace Sharpvisor.Vsp.Socket;

/// <summary>All connections of one VM. Thread-safe.</summary>
public sealed class SocketVsp : IVmbusSockets, IDisposable
{
    /// <summary>Connections, half-made ones included: each takes memory here and one of the bus's 2047 channels.</summary>
    public const int MaxConnections = 1000;

    // As Firecracker counts its host-side ports.
    private const uint FirstHostPort = 0x4000_0000;
    private const int MaxRequestBytes = 32;

    private readonly VmbusServer _bus;
    private readonly HostSocket _listener;
    private readonly string _path;
    private readonly Lock _lock = new();
    private readonly HashSet<SocketConnection> _connections = [];
    private readonly CancellationTokenSource _stop = new();
    private int _places = MaxConnections;
    private uint _hostPort = FirstHostPort;

    /// <param name="bus">Where connections are offered.</param>
    /// <param name="listener">Listens at <paramref name="path"/>; becomes this object's.</param>
    /// <param name="path">Names the sockets the guest reaches.</param>
    public SocketVsp(VmbusServer bus, HostSocket listener, string path)
    {
        ArgumentNullException.ThrowIfNull(bus);
        ArgumentNullException.ThrowIfNull(listener);
        _bus = bus;
        _listener = listener;
        _path = path;
        bus.Sockets = this;
        _ = AcceptAsync();
    }

    /// <summary>How long a program or the guest may take over its part of a connection's beginning.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Connections there are.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _connections.Count;
            }
        }
    }

    /// <inheritdoc/>
    public void Connect(Guid endpointId, Guid serviceId)
    {
        // Refused at once, so that what a guest can have under way here is bounded.
        if (SocketProtocol.TryGetPort(serviceId, out uint port) && TryTakePlace())
        {
            _ = Task.Run(() => ConnectToHostAsync(endpointId, serviceId, port));
        }
        else
        {
            _bus.RefuseConnect(endpointId, serviceId);
        }
    }

    /// <summary>Ends all connections.</summary>
    public void Dispose()
    {
        SocketConnection[] connections;
        lock (_lock)
        {
            if (_stop.IsCancellationRequested)
            {
                return;
            }

            _stop.Cancel();
            connections = [.. _connections];
        }

        _bus.Sockets = null;
        _listener.Dispose();
        foreach (SocketConnection connection in connections)
        {
            connection.End();
        }
    }

    internal void Ended(SocketConnection connection)
    {
        bool known;
        lock (_lock)
        {
            known = _connections.Remove(connection);
        }

        if (known)
        {
            _bus.Rescind(connection);
        }
    }

    private async Task ConnectToHostAsync(Guid endpointId, Guid serviceId, uint port)
    {
        using HostSocket? host = await ReachAsync(port);
        if (host is null || !await OfferAsync(new SocketConnection(this, host, endpointId, serviceId, fromHost: false, greeting: "")))
        {
            _bus.RefuseConnect(endpointId, serviceId);
        }

        ReturnPlace();
    }

    private async Task<HostSocket?> ReachAsync(uint port)
    {
        var host = new HostSocket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await host.ConnectAsync(new UnixDomainSocketEndPoint($"{_path}_{port.ToString(CultureInfo.InvariantCulture)}"), _stop.Token);
            return host;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            host.Dispose();
            return null;
        }
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                HostSocket host = await _listener.AcceptAsync(_stop.Token);
                if (TryTakePlace())
                {
                    _ = ConnectToGuestAsync(host);
                }
                else
                {
                    host.Dispose();
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The VM has ended.
        }
    }

    private async Task ConnectToGuestAsync(HostSocket host)
    {
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            patience.CancelAfter(Timeout);
            if (await ReadRequestAsync(host, patience.Token) is { } port)
            {
                uint from = NextHostPort();
                string greeting = string.Create(CultureInfo.InvariantCulture, $"OK {from}\n");
                _ = await OfferAsync(
                    new SocketConnection(this, host, SocketProtocol.ServiceId(from), SocketProtocol.ServiceId(port), fromHost: true, greeting));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The program went away, or is too slow.
        }
        finally
        {
            host.Dispose();
            ReturnPlace();
        }
    }

    /// <summary>Reads "CONNECT port\n" and not a byte more; null for anything else.</summary>
    private static async Task<uint?> ReadRequestAsync(HostSocket host, CancellationToken cancellation)
    {
        byte[] line = new byte[MaxRequestBytes];
        for (int i = 0; i < MaxRequestBytes; i++)
        {
            if (await host.ReceiveAsync(line.AsMemory(i, 1), SocketFlags.None, cancellation) == 0)
            {
                return null;
            }

            if (line[i] == '\n')
            {
                string[] words = Encoding.ASCII.GetString(line, 0, i).Split(' ');
                return words is ["CONNECT", { } number] && uint.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out uint port)
                    ? port
                    : null;
            }
        }

        return null;
    }

    /// <summary>Offers a connection to the guest and stays until it ends.</summary>
    /// <returns>False when the bus does not take it.</returns>
    private async Task<bool> OfferAsync(SocketConnection connection)
    {
        lock (_lock)
        {
            if (_stop.IsCancellationRequested)
            {
                return false;
            }

            _connections.Add(connection);
        }

        if (!_bus.Offer(connection))
        {
            connection.End();
            return false;
        }

        try
        {
            if (await connection.Opened.WaitAsync(Timeout))
            {
                await connection.Completion;
            }
        }
        catch (TimeoutException)
        {
            // Nobody listens in the guest: hvs_open_connection then leaves the channel alone.
            connection.End();
        }

        return true;
    }

    private bool TryTakePlace()
    {
        lock (_lock)
        {
            return !_stop.IsCancellationRequested && _places > 0 && _places-- > 0;
        }
    }

    private void ReturnPlace()
    {
        lock (_lock)
        {
            _places++;
        }
    }

    private uint NextHostPort()
    {
        lock (_lock)
        {
            uint port = _hostPort;
            _hostPort = port == uint.MaxValue - 1 ? FirstHostPort : port + 1;
            return port;
        }
    }
}

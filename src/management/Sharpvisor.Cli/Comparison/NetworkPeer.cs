// The host's end of the network works: a TCP server that does what a connection's first eight bytes say (netbench.c), and a UDP port
// that takes everything.
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Sharpvisor.Cli.Comparison;

internal sealed class NetworkPeer : IDisposable
{
    private const int BlockBytes = 64 << 10;
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Socket _datagrams = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);

    public NetworkPeer()
    {
        _listener.Start();
        _datagrams.Bind(_listener.LocalEndpoint);
        _ = AcceptAsync();
        _ = DrainAsync();
    }

    /// <summary>On the host's loopback; the same number for TCP and UDP.</summary>
    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public void Dispose()
    {
        _listener.Dispose();
        _datagrams.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket socket = await _listener.AcceptSocketAsync();
                _ = ServeAsync(socket);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Disposed.
        }
    }

    private static async Task ServeAsync(Socket socket)
    {
        try
        {
            using var stream = new NetworkStream(socket, ownsSocket: true);
            socket.NoDelay = true;
            byte[] block = new byte[BlockBytes];
            await stream.ReadExactlyAsync(block.AsMemory(0, 8));
            ulong order = BinaryPrimitives.ReadUInt64LittleEndian(block);
            long left = (long)(order >> 8);
            switch ((char)(order & 0xFF))
            {
                case 's':
                    while (left > 0 && await stream.ReadAsync(block) is > 0 and int read)
                    {
                        left -= read;
                    }

                    await stream.WriteAsync(block.AsMemory(0, 1));
                    break;
                case 'r':
                    for (; left > 0; left -= block.Length)
                    {
                        await stream.WriteAsync(block.AsMemory(0, (int)Math.Min(left, block.Length)));
                    }

                    // Until the guest ends, so that nothing is cut off.
                    _ = await stream.ReadAsync(block);
                    break;
                default:
                    while (await stream.ReadAsync(block) is > 0 and int bytes)
                    {
                        await stream.WriteAsync(block.AsMemory(0, bytes));
                    }

                    break;
            }
        }
        catch (IOException)
        {
            // The guest ended.
        }
    }

    private async Task DrainAsync()
    {
        byte[] buffer = new byte[2048];
        try
        {
            while (true)
            {
                _ = await _datagrams.ReceiveAsync(buffer, SocketFlags.None);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Disposed.
        }
    }
}

// A VNC server: any VNC viewer shows a VM's screen and presses its keys (The RFB Protocol 3.8).
using System.Net.Sockets;
using Sharpvisor.Core;

namespace Sharpvisor.Display.Vnc;

/// <summary>Serves viewers until disposed.</summary>
public sealed class VncServer : IDisposable
{
    private const int MostClients = 8;

    private readonly Socket _listener;
    private readonly CancellationTokenSource _stop = new();
    private int _clients;

    /// <param name="listener">Listens already; the server owns it. Who may connect to it is decided by its address.</param>
    /// <param name="authentication">Null: whoever can connect is welcome.</param>
    public VncServer(Socket listener, IScreen screen, IKeyboard keyboard, IPointer pointer, VncAuthentication? authentication)
    {
        _listener = listener;
        Feed = new ScreenFeed(screen);
        Keyboard = keyboard;
        Pointer = pointer;
        Authentication = authentication;
    }

    /// <summary>The title of a viewer's window.</summary>
    public string Name { get; init; } = "Sharpvisor";

    internal ScreenFeed Feed { get; }

    internal IKeyboard Keyboard { get; }

    internal IPointer Pointer { get; }

    internal VncAuthentication? Authentication { get; }

    public void Start() => _ = AcceptAsync();

    /// <inheritdoc/>
    public void Dispose()
    {
        _stop.Cancel();
        _listener.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                Socket client = await _listener.AcceptAsync(_stop.Token);
                if (Interlocked.Increment(ref _clients) > MostClients)
                {
                    Interlocked.Decrement(ref _clients);
                    client.Dispose();
                    continue;
                }

                _ = ServeAsync(client);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The VM has ended.
        }
    }

    private async Task ServeAsync(Socket client)
    {
        using var connection = new VncConnection(this, client, _stop.Token);
        await connection.RunAsync();
        Interlocked.Decrement(ref _clients);
    }
}

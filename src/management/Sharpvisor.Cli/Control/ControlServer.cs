// `run --ctl SOCKET`: a unix socket of the user's own, with a JSON request and answer per line.
using System.Net.Sockets;
using System.Text;
using Sharpvisor.Worker;
using Sharpvisor.Worker.Control;

namespace Sharpvisor.Cli.Control;

internal sealed class ControlServer : IDisposable
{
    private const int MaxLineChars = 64 << 10;
    private readonly string _path;
    private readonly Socket _listener;
    private readonly CancellationTokenSource _stop = new();

    private ControlServer(string path, Socket listener)
    {
        _path = path;
        _listener = listener;
    }

    /// <summary>Takes the socket's name; nobody is served yet.</summary>
    /// <exception cref="VmConfigurationException">It cannot be had.</exception>
    public static ControlServer Bind(string path) => new(path, HostSocket.Listen("--ctl", path));

    /// <summary>Serves until disposed.</summary>
    public void Start(VirtualMachine vm) => _ = AcceptAsync(new VmController(vm));

    public void Dispose()
    {
        _stop.Cancel();
        _listener.Dispose();
        File.Delete(_path);
    }

    private async Task AcceptAsync(VmController controller)
    {
        try
        {
            while (true)
            {
                _ = ServeAsync(await _listener.AcceptAsync(_stop.Token), controller);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The VM has ended.
        }
    }

    private async Task ServeAsync(Socket client, VmController controller)
    {
        try
        {
            await using var stream = new NetworkStream(client, ownsSocket: true);
            using var reader = new StreamReader(stream, Encoding.UTF8);
            while (await ReadLineAsync(reader) is { } line)
            {
                string answer = await controller.ExecuteAsync(line, _stop.Token);
                await stream.WriteAsync(Encoding.UTF8.GetBytes(answer + "\n"), _stop.Token);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The client went away, or the VM.
        }
    }

    private async Task<string?> ReadLineAsync(StreamReader reader)
    {
        var line = new StringBuilder();
        char[] one = new char[1];
        while (await reader.ReadAsync(one, _stop.Token) == 1)
        {
            if (one[0] == '\n')
            {
                return line.ToString();
            }

            if (line.Append(one[0]).Length > MaxLineChars)
            {
                throw new IOException("the request is too long");
            }
        }

        return null;
    }
}

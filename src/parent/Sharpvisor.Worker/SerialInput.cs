// Feeds COM1's receiver from a host stream, no faster than the guest reads.
using Sharpvisor.Devices;

namespace Sharpvisor.Worker;

internal sealed class SerialInput
{
    private const int HighWaterBytes = 1024;
    private readonly Stream _stream;
    private readonly Uart16550 _uart;
    // A monitor, because the pump waits on it.
    private readonly object _gate = new();

    private SerialInput(Stream stream, Uart16550 uart)
    {
        _stream = stream;
        _uart = uart;
        uart.InputDrained += OnDrained;
    }

    /// <summary>Starts pumping on a background thread, which ends with the stream or the process.</summary>
    public static void Start(Stream stream, Uart16550 uart)
    {
        var input = new SerialInput(stream, uart);
        new Thread(input.Pump) { IsBackground = true, Name = "serial input" }.Start();
    }

    private void Pump()
    {
        byte[] buffer = new byte[256];
        try
        {
            int read;
            while ((read = _stream.Read(buffer)) > 0)
            {
                _uart.Receive(buffer.AsSpan(0, read));
                lock (_gate)
                {
                    while (_uart.QueuedInputBytes > HighWaterBytes)
                    {
                        Monitor.Wait(_gate);
                    }
                }
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
        {
            // The terminal went away: the guest's line stays idle.
        }
    }

    private void OnDrained()
    {
        lock (_gate)
        {
            Monitor.Pulse(_gate);
        }
    }
}

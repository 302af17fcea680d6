// Feeds COM1's receiver from a host stream, no faster than the guest reads.
using Sharpvisor.Devices;

namespace Sharpvisor.Worker;

internal sealed class SerialInput
{
    private const int HighWaterBytes = 1024;
    private readonly Stream _stream;
    private readonly Uart16550 _uart;
    private readonly AutoResetEvent _drained = new(false);

    private SerialInput(Stream stream, Uart16550 uart)
    {
        _stream = stream;
        _uart = uart;
        uart.InputDrained += () => _drained.Set();
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
                while (_uart.QueuedInputBytes > HighWaterBytes)
                {
                    _drained.WaitOne();
                }
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
        {
            // The terminal went away: the guest's line stays idle.
        }
    }
}

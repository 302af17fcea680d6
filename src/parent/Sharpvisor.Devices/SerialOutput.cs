// Batches a UART's output: a guest sends byte by byte, and one host write a byte would cost more than the intercept.
namespace Sharpvisor.Devices;

/// <summary>Collects bytes and writes them from a pool thread, at once when none is writing.</summary>
internal sealed class SerialOutput(Stream? stream)
{
    // Beyond this the guest waits for the host's reader, as a real line would make it wait.
    private const int LimitBytes = 64 * 1024;

    // A monitor, because writers wait on it.
    private readonly object _gate = new();
    private byte[] _pending = new byte[4096];
    private byte[] _writing = new byte[4096];
    private int _count;
    private bool _draining;
    private bool _cut = stream is null;

    public void Write(byte value) => Write(new ReadOnlySpan<byte>(in value));

    public void Write(ReadOnlySpan<byte> bytes)
    {
        lock (_gate)
        {
            while (bytes.Length > 0)
            {
                while (_count == LimitBytes && !_cut)
                {
                    Monitor.Wait(_gate);
                }

                if (_cut)
                {
                    return;
                }

                bytes = bytes[Append(bytes)..];
                if (!_draining)
                {
                    _draining = true;
                    ThreadPool.UnsafeQueueUserWorkItem(static output => output.Drain(), this, preferLocal: false);
                }
            }
        }
    }

    /// <summary>Returns when everything written before has reached the stream.</summary>
    public void Flush()
    {
        lock (_gate)
        {
            while (_draining && !_cut)
            {
                Monitor.Wait(_gate);
            }
        }
    }

    /// <summary>Drops what is and will be written: nobody waits for a stuck reader any more.</summary>
    public void Cut()
    {
        lock (_gate)
        {
            _cut = true;
            _count = 0;
            Monitor.PulseAll(_gate);
        }
    }

    private int Append(ReadOnlySpan<byte> bytes)
    {
        int take = Math.Min(bytes.Length, LimitBytes - _count);
        if (_count + take > _pending.Length)
        {
            Array.Resize(ref _pending, Math.Min(LimitBytes, Math.Max(_count + take, _pending.Length * 2)));
        }

        bytes[..take].CopyTo(_pending.AsSpan(_count));
        _count += take;
        return take;
    }

    private void Drain()
    {
        while (true)
        {
            int count;
            lock (_gate)
            {
                if (_count == 0)
                {
                    _draining = false;
                    Monitor.PulseAll(_gate);
                    return;
                }

                (_pending, _writing) = (_writing, _pending);
                count = _count;
                _count = 0;
                Monitor.PulseAll(_gate);
            }

            try
            {
                stream!.Write(_writing, 0, count);
                stream.Flush();
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException)
            {
                // The reader went away (a closed pipe): the guest's line is cut, the guest lives on.
                Cut();
            }
        }
    }
}

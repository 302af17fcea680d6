// A guest's console that a test can wait on.
using System.Text;

namespace Sharpvisor.Worker.Tests.Guests;

/// <summary>Keeps what the guest prints, and passes it on.</summary>
internal sealed class ConsoleTap(Stream inner) : Stream
{
    private readonly StringBuilder _text = new();
    private readonly object _gate = new();

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>All of it so far.</summary>
    public string Text
    {
        get
        {
            lock (_gate)
            {
                return _text.ToString();
            }
        }
    }

    /// <summary>Waits until the guest has printed a text after position <paramref name="from"/>; returns the rest of its line.</summary>
    public Task<string> WaitForAsync(string text, int from = 0) => Task.Run(() =>
    {
        lock (_gate)
        {
            DateTime limit = DateTime.UtcNow.AddSeconds(120);
            while (true)
            {
                string all = _text.ToString();
                int at = all.IndexOf(text, from, StringComparison.Ordinal);
                int end = at < 0 ? -1 : all.IndexOf('\n', at);
                if (end >= 0)
                {
                    return all[(at + text.Length)..end].Trim();
                }

                if (DateTime.UtcNow > limit || !Monitor.Wait(_gate, TimeSpan.FromSeconds(120)))
                {
                    throw new TimeoutException($"the guest did not print '{text}'; console:\n{all}");
                }
            }
        }
    });

    /// <summary>Characters so far.</summary>
    public int Printed
    {
        get
        {
            lock (_gate)
            {
                return _text.Length;
            }
        }
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        inner.Write(buffer);
        lock (_gate)
        {
            _text.Append(Encoding.UTF8.GetString(buffer));
            Monitor.PulseAll(_gate);
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush() => inner.Flush();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}

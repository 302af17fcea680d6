// Sits on the guest's serial line: passes lines on, and brackets each work between the marks that the guest prints.
// The line is drained at once by a host thread, so a snapshot is taken some microseconds after the guest printed its mark.
using System.Globalization;
using System.Text;
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Comparison;

/// <summary>A write-only stream for COM1's output.</summary>
internal sealed class PhaseRecorder(Action<string> progress) : Stream
{
    public const string BeginMark = "@@begin ";
    public const string EndMark = "@@end ";
    public const string ErrorMark = "@@error ";

    private readonly StringBuilder _line = new();
    private readonly Dictionary<string, WorkMeasurement> _measurements = [];
    private IReadOnlyDictionary<string, long> _countersAtBegin = new Dictionary<string, long>();
    private TimeSpan _cpuAtBegin;

    /// <summary>The VM whose counters are read; set before it starts.</summary>
    public VirtualMachine? Vm { get; set; }

    public IReadOnlyDictionary<string, WorkMeasurement> Measurements => _measurements;

    /// <summary>What the guest could not do, in its words; null when all went well.</summary>
    public string? GuestError { get; private set; }

    /// <summary>The last lines of the console, for a guest that ends unexpectedly.</summary>
    public Queue<string> LastLines { get; } = new();

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        foreach (byte b in buffer)
        {
            if (b == '\n')
            {
                OnLine(_line.ToString().TrimEnd('\r'));
                _line.Clear();
            }
            else if (_line.Length < 4096)
            {
                _line.Append((char)b);
            }
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    private void OnLine(string line)
    {
        LastLines.Enqueue(line);
        if (LastLines.Count > 12)
        {
            LastLines.Dequeue();
        }

        if (line.StartsWith(BeginMark, StringComparison.Ordinal))
        {
            string key = line[BeginMark.Length..];
            progress(key);
            _countersAtBegin = Vm!.Statistics.Snapshot();
            _cpuAtBegin = Environment.CpuUsage.TotalTime;
        }
        else if (line.StartsWith(EndMark, StringComparison.Ordinal))
        {
            TimeSpan cpu = Environment.CpuUsage.TotalTime - _cpuAtBegin;
            string[] words = line[EndMark.Length..].Split(' ');
            if (words.Length == 4 && long.TryParse(words[1], CultureInfo.InvariantCulture, out long requests)
                && long.TryParse(words[2], CultureInfo.InvariantCulture, out long bytes)
                && long.TryParse(words[3], CultureInfo.InvariantCulture, out long microseconds) && requests > 0 && microseconds > 0)
            {
                Dictionary<string, long> delta = Vm!.Statistics.Snapshot()
                    .ToDictionary(c => c.Key, c => c.Value - _countersAtBegin.GetValueOrDefault(c.Key));
                _measurements[words[0]] = new WorkMeasurement(requests, bytes, TimeSpan.FromMicroseconds(microseconds), cpu, delta);
            }
        }
        else if (line.StartsWith(ErrorMark, StringComparison.Ordinal))
        {
            GuestError ??= line[ErrorMark.Length..];
        }
    }
}

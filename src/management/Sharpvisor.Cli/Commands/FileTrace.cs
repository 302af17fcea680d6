using System.Globalization;
using Sharpvisor.Core;

namespace Sharpvisor.Cli.Commands;

/// <summary>Writes trace lines, stamped with seconds since the start, to a file.</summary>
internal sealed class FileTrace(Stream stream) : ITraceSink, IDisposable
{
    private readonly StreamWriter _writer = new(stream);
    private readonly PartitionClock _clock = new();

    public bool IsEnabled => true;

    public void Line(string text)
    {
        string stamp = (_clock.Nanoseconds / 1e9).ToString("F6", CultureInfo.InvariantCulture);
        lock (_writer)
        {
            _writer.Write(stamp);
            _writer.Write(' ');
            _writer.WriteLine(text);
        }
    }

    public void Dispose()
    {
        lock (_writer)
        {
            _writer.Dispose();
        }
    }
}

// A guest's console that a test can wait on.
using System.Text;

namespace Sharpvisor.Worker.Tests.Guests;

internal sealed class WatchedConsole : MemoryStream
{
    private readonly StringBuilder _text = new();

    public string Text
    {
        get
        {
            lock (_text)
            {
                return _text.ToString();
            }
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        lock (_text)
        {
            _text.Append(Encoding.Latin1.GetString(buffer));
        }
    }

    public override void WriteByte(byte value) => Write([value]);

    /// <summary>Returns when the text has come, or throws when the VM has ended without it.</summary>
    public async Task WaitForAsync(string text, Task ended)
    {
        while (!Text.Contains(text, StringComparison.Ordinal))
        {
            if (ended.IsCompleted)
            {
                throw new InvalidOperationException($"the VM ended before it printed '{text}'");
            }

            await Task.Delay(50);
        }
    }
}

// Where Iced puts encoded bytes: a growing buffer that is reused.
using Iced.Intel;

namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed class ByteWriter : CodeWriter
{
    private byte[] _bytes = new byte[512];

    public int Count { get; private set; }

    public Span<byte> Written => _bytes.AsSpan(0, Count);

    public override void WriteByte(byte value)
    {
        if (Count == _bytes.Length)
        {
            Array.Resize(ref _bytes, Count * 2);
        }

        _bytes[Count++] = value;
    }

    public void Truncate(int count) => Count = count;

    public byte[] ToArray() => Written.ToArray();
}

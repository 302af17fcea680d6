// Messages of one SINT that wait for its slot: a ring that grows to its bound and then stays, so steady traffic allocates nothing.
namespace Sharpvisor.Hypervisor;

internal sealed class MessageQueue
{
    private Entry[] _entries = [];
    private int _head;

    public int Count { get; private set; }

    public void Enqueue(uint type, ReadOnlySpan<byte> payload)
    {
        if (Count == _entries.Length)
        {
            Grow();
        }

        ref Entry entry = ref _entries[(_head + Count) % _entries.Length];
        entry.Payload ??= new byte[Synic.MaxPayloadBytes];
        entry.Type = type;
        entry.Length = payload.Length;
        payload.CopyTo(entry.Payload);
        Count++;
    }

    /// <returns>The message type.</returns>
    public uint Dequeue(Span<byte> destination, out int length)
    {
        ref Entry entry = ref _entries[_head];
        length = entry.Length;
        entry.Payload.AsSpan(0, length).CopyTo(destination);
        _head = (_head + 1) % _entries.Length;
        Count--;
        return entry.Type;
    }

    public void Clear()
    {
        _head = 0;
        Count = 0;
    }

    private void Grow()
    {
        var grown = new Entry[Math.Max(8, _entries.Length * 2)];
        for (int i = 0; i < Count; i++)
        {
            grown[i] = _entries[(_head + i) % _entries.Length];
        }

        _entries = grown;
        _head = 0;
    }

    private struct Entry
    {
        public byte[]? Payload;
        public uint Type;
        public int Length;
    }
}

// An MSI-X table and its pending bit array (PCI Local Bus Specification 3.0, 6.8.2).
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Pci;

/// <summary>The vectors of one function. Thread-safe.</summary>
internal sealed class MsixTable(int vectors)
{
    public const int EntryBytes = 16;

    private const int WordsPerEntry = EntryBytes / 4;
    private const uint MaskBit = 1;
    private readonly Lock _lock = new();
    private readonly uint[] _table = CreateTable(vectors);
    private readonly bool[] _pending = new bool[vectors];
    private Action<MsiMessage>? _deliver;
    private bool _enabled;
    private bool _masked;

    public int Vectors => vectors;

    public void Connect(Action<MsiMessage> deliver) => _deliver = deliver;

    /// <summary>Message control: the capability's enable bit and function mask.</summary>
    public void SetControl(bool enabled, bool masked)
    {
        lock (_lock)
        {
            _enabled = enabled;
            _masked = masked;
        }

        for (int i = 0; i < vectors; i++)
        {
            DeliverPending(i);
        }
    }

    public void Reset()
    {
        lock (_lock)
        {
            CreateTable(vectors).CopyTo(_table, 0);
            Array.Clear(_pending);
            _enabled = false;
            _masked = false;
        }
    }

    /// <summary>A word of the table; <paramref name="offset"/> is from its start.</summary>
    public uint ReadWord(int offset)
    {
        lock (_lock)
        {
            return offset / 4 < _table.Length ? _table[offset / 4] : 0;
        }
    }

    public void WriteWord(int offset, uint value)
    {
        int word = offset / 4;
        if (word >= _table.Length)
        {
            return;
        }

        lock (_lock)
        {
            _table[word] = (word % WordsPerEntry) switch
            {
                0 => value & ~3u,
                3 => value & MaskBit,
                _ => value,
            };
        }

        DeliverPending(word / WordsPerEntry);
    }

    /// <summary>32 pending bits; <paramref name="offset"/> is from the array's start.</summary>
    public uint ReadPending(int offset)
    {
        uint bits = 0;
        lock (_lock)
        {
            for (int i = 0; i < 32 && (offset * 8) + i < vectors; i++)
            {
                bits |= _pending[(offset * 8) + i] ? 1u << i : 0;
            }
        }

        return bits;
    }

    /// <summary>Sends a vector's message, or remembers to when it is unmasked. Without MSI-X the function has no interrupt.</summary>
    public void Raise(int vector)
    {
        lock (_lock)
        {
            if (!_enabled || (uint)vector >= (uint)vectors)
            {
                return;
            }

            _pending[vector] = true;
        }

        DeliverPending(vector);
    }

    private void DeliverPending(int vector)
    {
        MsiMessage message;
        lock (_lock)
        {
            int word = vector * WordsPerEntry;
            if (!_pending[vector] || !_enabled || _masked || (_table[word + 3] & MaskBit) != 0)
            {
                return;
            }

            _pending[vector] = false;
            message = new MsiMessage(_table[word] | ((ulong)_table[word + 1] << 32), _table[word + 2]);
        }

        _deliver?.Invoke(message);
    }

    private static uint[] CreateTable(int vectors)
    {
        uint[] table = new uint[vectors * WordsPerEntry];
        for (int i = 3; i < table.Length; i += WordsPerEntry)
        {
            table[i] = MaskBit;
        }

        return table;
    }
}

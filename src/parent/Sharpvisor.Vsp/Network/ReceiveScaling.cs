// Receive side scaling: which channel, and so which VP, a frame goes to (NDIS_RECEIVE_SCALE_PARAMETERS in drivers/net/hyperv/
// hyperv_net.h; the hash is Toeplitz's as in Microsoft's "RSS Hashing Functions").
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Vsp.Network;

/// <summary>The guest's indirection table and hash key. Not thread-safe.</summary>
internal sealed class ReceiveScaling
{
    public const int TableEntries = 128;

    private const int KeyBytes = 40;
    private const int InputBytes = 36;
    private const int ParameterBytes = 24;
    private const byte ObjectType = 0x89;
    private const ushort TableUnchanged = 4;
    private const ushort KeyUnchanged = 8;
    private const ushort Disable = 0x10;

    private readonly byte[] _table = new byte[TableEntries];
    // What each value of each byte of the input adds to the hash.
    private readonly uint[] _sums = new uint[InputBytes * 256];
    private int _tableMask;

    public bool IsEnabled { get; private set; }

    /// <summary>OID_GEN_RECEIVE_SCALE_PARAMETERS. False, with nothing changed, when they make no sense.</summary>
    /// <param name="channels">The channels there are; the table must not name others.</param>
    public bool TrySet(ReadOnlySpan<byte> parameters, int channels)
    {
        if (parameters.Length < ParameterBytes || parameters[0] != ObjectType)
        {
            return false;
        }

        ushort flags = BinaryPrimitives.ReadUInt16LittleEndian(parameters[4..]);
        if ((flags & Disable) != 0)
        {
            IsEnabled = false;
            return true;
        }

        ReadOnlySpan<byte> table = default;
        ReadOnlySpan<byte> key = default;
        if (((flags & TableUnchanged) == 0
                && !TrySlice(parameters, BinaryPrimitives.ReadUInt32LittleEndian(parameters[14..]), BinaryPrimitives.ReadUInt16LittleEndian(parameters[12..]), out table))
            || ((flags & KeyUnchanged) == 0
                && !TrySlice(parameters, BinaryPrimitives.ReadUInt32LittleEndian(parameters[20..]), BinaryPrimitives.ReadUInt16LittleEndian(parameters[18..]), out key)))
        {
            return false;
        }

        int entries = table.Length / sizeof(uint);
        if (((flags & TableUnchanged) == 0 && !IsTable(table, entries, channels)) || ((flags & KeyUnchanged) == 0 && key.Length != KeyBytes))
        {
            return false;
        }

        for (int i = 0; i < entries; i++)
        {
            _table[i] = table[i * sizeof(uint)];
        }

        _tableMask = entries > 0 ? entries - 1 : _tableMask;
        if (!key.IsEmpty)
        {
            SetKey(key);
        }

        IsEnabled = true;
        return true;
    }

    public void Reset() => IsEnabled = false;

    /// <summary>The hash of a frame: over addresses and ports for TCP, over the addresses otherwise.</summary>
    public uint Hash(ReadOnlySpan<byte> frame, in FrameLayout layout)
    {
        ReadOnlySpan<byte> addresses = layout.Addresses(frame);
        uint hash = 0;
        for (int i = 0; i < addresses.Length; i++)
        {
            hash ^= _sums[(i * 256) + addresses[i]];
        }

        if (layout.Protocol == FrameLayout.Tcp)
        {
            ReadOnlySpan<byte> ports = frame.Slice(layout.Transport, 4);
            for (int i = 0; i < ports.Length; i++)
            {
                hash ^= _sums[((addresses.Length + i) * 256) + ports[i]];
            }
        }

        return hash;
    }

    /// <summary>The channel for a hash.</summary>
    public int Channel(uint hash) => _table[hash & (uint)_tableMask];

    private static bool IsTable(ReadOnlySpan<byte> table, int entries, int channels)
    {
        if (entries is < 1 or > TableEntries || (entries & (entries - 1)) != 0)
        {
            return false;
        }

        for (int i = 0; i < entries; i++)
        {
            if (BinaryPrimitives.ReadUInt32LittleEndian(table[(i * sizeof(uint))..]) >= (uint)channels)
            {
                return false;
            }
        }

        return true;
    }

    private static bool TrySlice(ReadOnlySpan<byte> bytes, uint offset, int length, out ReadOnlySpan<byte> slice)
    {
        bool inside = offset <= (uint)bytes.Length && length <= bytes.Length - (int)offset;
        slice = inside ? bytes.Slice((int)offset, length) : default;
        return inside;
    }

    // For each input bit that is set the hash takes the 32 bits of the key that start at the same place.
    private void SetKey(ReadOnlySpan<byte> key)
    {
        Span<uint> windows = stackalloc uint[8];
        for (int i = 0; i < InputBytes; i++)
        {
            ulong bits = ((ulong)BinaryPrimitives.ReadUInt32BigEndian(key[i..]) << 8) | key[i + 4];
            for (int bit = 0; bit < windows.Length; bit++)
            {
                windows[bit] = (uint)(bits >> (8 - bit));
            }

            for (int value = 0; value < 256; value++)
            {
                uint sum = 0;
                for (int bit = 0; bit < windows.Length; bit++)
                {
                    sum ^= (value & (0x80 >> bit)) != 0 ? windows[bit] : 0;
                }

                _sums[(i * 256) + value] = sum;
            }
        }
    }
}

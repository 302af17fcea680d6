// Which frames a 21140 receives: 16 perfect addresses, or one and a 512-bit hash, as the last setup frame said
// (21140A HRM, 4.2.3 and table 4-8; drivers/net/ethernet/dec/tulip/tulip_core.c builds both forms).
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Nic;

internal sealed class Dec21140Filter
{
    public const int SetupBytes = 192;

    private const int PerfectAddresses = 16;
    private const int HashWords = 32;
    private const int HashedPhysicalOffset = 156;
    private readonly ulong[] _addresses = new ulong[PerfectAddresses];
    private readonly ushort[] _hash = new ushort[HashWords];
    private int _count;
    private bool _hashed;
    private bool _hashOnly;
    private bool _inverse;

    /// <summary>What CSR6&lt;4,2,0&gt; show: inverse, hash only, hash.</summary>
    public uint ModeBits => (_inverse ? 0x10u : 0) | (_hashOnly ? 4u : 0) | (_hashed ? 1u : 0);

    public void Reset()
    {
        (_count, _hashed, _hashOnly, _inverse) = (0, false, false, false);
        Array.Clear(_hash);
    }

    /// <summary>Takes a setup frame; only the low half of every longword counts.</summary>
    /// <param name="type">The filter type of the descriptor: FT1, FT0.</param>
    public void Load(ReadOnlySpan<byte> frame, int type)
    {
        _hashed = (type & 1) != 0;
        _hashOnly = type == 3;
        _inverse = type == 2;
        if (!_hashed)
        {
            _count = PerfectAddresses;
            for (int i = 0; i < PerfectAddresses; i++)
            {
                _addresses[i] = ReadAddress(frame[(i * 12)..]);
            }

            return;
        }

        for (int i = 0; i < HashWords; i++)
        {
            _hash[i] = BinaryPrimitives.ReadUInt16LittleEndian(frame[(4 * i)..]);
        }

        _count = _hashOnly ? 0 : 1;
        _addresses[0] = ReadAddress(frame[HashedPhysicalOffset..]);
    }

    /// <summary>Whether a frame to this address is received, CSR6's wider modes apart.</summary>
    public bool Accepts(ReadOnlySpan<byte> destination)
    {
        if (_hashed && (_hashOnly || (destination[0] & 1) != 0))
        {
            uint index = Crc(destination[..MacAddress.Bytes]) & 0x1FF;
            return (_hash[index >> 4] >> (int)(index & 15) & 1) != 0;
        }

        ulong address = MacAddress.Read(destination).Value;
        return _addresses.AsSpan(0, _count).Contains(address) != _inverse;
    }

    /// <summary>The Ethernet CRC, not complemented, as its bits come (IEEE 802.3, 3.2.9).</summary>
    public static uint Crc(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte b in bytes)
        {
            crc ^= b;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB8_8320 : 0);
            }
        }

        return crc;
    }

    private static ulong ReadAddress(ReadOnlySpan<byte> longwords)
    {
        Span<byte> address = [longwords[0], longwords[1], longwords[4], longwords[5], longwords[8], longwords[9]];
        return MacAddress.Read(address).Value;
    }
}

// A MAC address (IEEE 802-2014, 8.2), first byte on the wire in bits 47..40.
using System.Globalization;

namespace Sharpvisor.Core;

/// <summary>An EUI-48 address.</summary>
/// <param name="Value">The address in its low 48 bits.</param>
public readonly record struct MacAddress(ulong Value)
{
    public const int Bytes = 6;

    /// <summary>Microsoft's prefix, which Hyper-V takes its dynamic addresses from.</summary>
    public const ulong HyperVPrefix = 0x0015_5D00_0000;

    /// <summary>A random address with <see cref="HyperVPrefix"/>.</summary>
    public static MacAddress NewDynamic() => new(HyperVPrefix | (uint)Random.Shared.Next(1 << 24));

    /// <summary>Reads six bytes as they are on the wire.</summary>
    public static MacAddress Read(ReadOnlySpan<byte> bytes)
    {
        ulong value = 0;
        foreach (byte b in bytes[..Bytes])
        {
            value = (value << 8) | b;
        }

        return new MacAddress(value);
    }

    /// <summary>Parses <c>00:15:5d:01:02:03</c> (or with dashes). Only addresses that a card can have: not multicast, not zero.</summary>
    public static bool TryParse(string? text, out MacAddress address)
    {
        address = default;
        string[] parts = (text ?? string.Empty).Split(':', '-');
        ulong value = 0;
        foreach (string part in parts)
        {
            if (part.Length != 2 || !byte.TryParse(part, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte b))
            {
                return false;
            }

            value = (value << 8) | b;
        }

        address = new MacAddress(value);
        return parts.Length == Bytes && value != 0 && (value >> 40 & 1) == 0;
    }

    /// <summary>Writes six bytes as they are on the wire.</summary>
    public void CopyTo(Span<byte> destination)
    {
        for (int i = 0; i < Bytes; i++)
        {
            destination[i] = (byte)(Value >> (40 - (8 * i)));
        }
    }

    public override string ToString() =>
        $"{(byte)(Value >> 40):x2}:{(byte)(Value >> 32):x2}:{(byte)(Value >> 24):x2}:{(byte)(Value >> 16):x2}:{(byte)(Value >> 8):x2}:{(byte)Value:x2}";
}

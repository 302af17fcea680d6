// What the serial ROM holds: addresses and media, in Digital's format (Digital Semiconductor 21X4 Serial ROM Format, version 4.05,
// chapters 2 to 4). One connection: a transceiver on the MII, which chooses its medium itself.
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Nic;

internal static class Dec21140Rom
{
    private const int Bytes = 2 * SerialRom.Words;
    private const int ChecksumOffset = Bytes - 2;
    private const int AddressOffset = 20;
    private const int LeafOffset = 30;

    /// <summary>The PHY's address on the management bus.</summary>
    public const int PhyAddress = 1;

    public static ushort[] Create(MacAddress address, ushort subsystemVendor, ushort subsystem)
    {
        byte[] rom = new byte[Bytes];
        BinaryPrimitives.WriteUInt16LittleEndian(rom, subsystemVendor);
        BinaryPrimitives.WriteUInt16LittleEndian(rom.AsSpan(2), subsystem);

        // Format version 3 has extended blocks; one controller, which is device 0 and whose leaf follows.
        (rom[18], rom[19], rom[26]) = (3, 1, 0);
        address.CopyTo(rom.AsSpan(AddressOffset));
        BinaryPrimitives.WriteUInt16LittleEndian(rom.AsSpan(27), LeafOffset);
        ReadOnlySpan<byte> leaf =
        [
            0x00, 0x08, // selected connection: automatic
            0x00, // general purpose pins: all inputs
            1, // one block
            0x80 | 12, 1, PhyAddress, // extended block of type 1, MII PHY
            0, 0, // no pin sequences to select or reset it
            0x00, 0x78, // capabilities: 100BASE-TX and 10BASE-T, full and half duplex
            0xE0, 0x01, // to advertise: the same
            0x00, 0x50, // which of them are full duplex
            0x00, 0x18, // which of them use the transmit threshold of 10 Mb/s
        ];
        leaf.CopyTo(rom.AsSpan(LeafOffset));
        BinaryPrimitives.WriteUInt16LittleEndian(rom.AsSpan(ChecksumOffset), (ushort)~Dec21140Filter.Crc(rom.AsSpan(0, ChecksumOffset)));

        ushort[] words = new ushort[SerialRom.Words];
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = BinaryPrimitives.ReadUInt16LittleEndian(rom.AsSpan(2 * i));
        }

        return words;
    }
}

// What a PC BIOS leaves running for real-mode code: interrupt vectors, the PICs at 08h and 70h, the timer at 18.2 Hz
// (IBM PC AT Technical Reference, BIOS listing, POST; the addresses are those that compatible BIOSes kept).
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Devices;

/// <summary>Handlers that end their interrupt and do nothing: test guests in real mode HLT until the next one.</summary>
internal static class BiosServices
{
    private const ushort Segment = 0xF000;
    private const ushort DummyIret = 0xFF53;
    private const ushort MasterEnd = 0xFF54;
    private const ushort SlaveEnd = 0xFF5D;
    private const byte MasterVectors = 0x08;
    private const byte SlaveVectors = 0x70;

    public static void Write(GuestMemory memory)
    {
        // FF53: iret. FF54: push ax; mov al, 20h; out 20h, al; pop ax; iret. FF5D: the same, the slave first.
        ReadOnlySpan<byte> code =
        [
            0xCF,
            0x50, 0xB0, 0x20, 0xE6, 0x20, 0x58, 0xCF, 0x90, 0x90,
            0x50, 0xB0, 0x20, 0xE6, 0xA0, 0xE6, 0x20, 0x58, 0xCF,
        ];
        memory.TryWrite((Segment << 4) + DummyIret, code);
        byte[] vectors = new byte[256 * 4];
        for (int vector = 0; vector < 256; vector++)
        {
            ushort offset = (vector & ~7) switch
            {
                MasterVectors => MasterEnd,
                SlaveVectors => SlaveEnd,
                _ => DummyIret,
            };
            BinaryPrimitives.WriteUInt16LittleEndian(vectors.AsSpan(vector * 4), offset);
            BinaryPrimitives.WriteUInt16LittleEndian(vectors.AsSpan((vector * 4) + 2), Segment);
        }

        memory.TryWrite(0, vectors);
    }

    public static void Start(IPortDevice pic, IPortDevice pit)
    {
        StartController(pic, 0x20, MasterVectors, 4);
        StartController(pic, 0xA0, SlaveVectors, 2);
        // Timer, keyboard and cascade; nothing on the slave has a handler that would serve its device.
        pic.WritePort(0x21, 1, 0xF8);
        pic.WritePort(0xA1, 1, 0xFF);
        pit.WritePort(0x43, 1, 0x34);
        pit.WritePort(0x40, 1, 0);
        pit.WritePort(0x40, 1, 0);
    }

    private static void StartController(IPortDevice pic, ushort port, byte vectors, uint cascade)
    {
        pic.WritePort(port, 1, 0x11);
        pic.WritePort((ushort)(port + 1), 1, vectors);
        pic.WritePort((ushort)(port + 1), 1, cascade);
        pic.WritePort((ushort)(port + 1), 1, 1);
    }
}

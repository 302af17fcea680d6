// A small writer of ACPI Machine Language (ACPI 6.4, chapter 20): terms are byte arrays that nest by concatenation.
using System.Buffers.Binary;
using System.Text;

namespace Sharpvisor.Devices.Acpi;

/// <summary>Encodes AML terms.</summary>
internal static class Aml
{
    public static byte[] Scope(string name, params byte[][] terms) => Block([0x10], NameString(name), terms);

    public static byte[] Device(string name, params byte[][] terms) => Block([0x5B, 0x82], NameString(name), terms);

    public static byte[] Name(string name, byte[] value) => [0x08, .. NameString(name), .. value];

    /// <summary>A method without arguments that returns a constant.</summary>
    public static byte[] ReturningMethod(string name, byte[] value) =>
        Block([0x14], [.. NameString(name), 0x00], [[0xA4, .. value]]);

    public static byte[] Package(params byte[][] elements) => Block([0x12], [(byte)elements.Length], elements);

    public static byte[] Integer(ulong value)
    {
        byte[] bytes = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        return value switch
        {
            0 => [0x00],
            1 => [0x01],
            <= 0xFF => [0x0A, bytes[0]],
            <= 0xFFFF => [0x0B, .. bytes[..2]],
            <= 0xFFFF_FFFF => [0x0C, .. bytes[..4]],
            _ => [0x0E, .. bytes],
        };
    }

    public static byte[] Text(string value) => [0x0D, .. Encoding.ASCII.GetBytes(value), 0x00];

    /// <summary>A compressed EISA id such as PNP0A03 (ACPI 6.4, 19.6.37).</summary>
    public static byte[] EisaId(string id)
    {
        int vendor = ((id[0] - '@') << 10) | ((id[1] - '@') << 5) | (id[2] - '@');
        uint product = Convert.ToUInt32(id[3..], 16);
        return [0x0C, (byte)(vendor >> 8), (byte)vendor, (byte)(product >> 8), (byte)product];
    }

    /// <summary>A resource template: a buffer of descriptors with an end tag (ACPI 6.4, 6.4).</summary>
    public static byte[] Resources(params byte[][] descriptors)
    {
        byte[] content = [.. descriptors.SelectMany(d => d), 0x79, 0x00];
        return Block([0x11], Integer((ulong)content.Length), [content]);
    }

    /// <summary>6.4.2.5 I/O port descriptor, 16-bit decode, fixed.</summary>
    public static byte[] Io(ushort port, byte length) =>
        [0x47, 0x01, .. Little16(port), .. Little16(port), 0x01, length];

    /// <summary>6.4.2.1 IRQ descriptor: edge-triggered, active high, exclusive.</summary>
    public static byte[] Irq(int irq) => [0x22, .. Little16((ushort)(1 << irq))];

    /// <summary>6.4.3.4 32-bit fixed memory range, writable.</summary>
    public static byte[] Memory32Fixed(uint address, uint length) =>
        [0x86, 0x09, 0x00, 0x01, .. Little32(address), .. Little32(length)];

    /// <summary>6.4.3.5.3 word address space: bus numbers.</summary>
    public static byte[] BusNumbers(ushort first, ushort last) => Word(type: 2, specific: 0, first, last);

    /// <summary>6.4.3.5.3 word address space: I/O ports.</summary>
    public static byte[] IoWindow(ushort first, ushort last) => Word(type: 1, specific: 3, first, last);

    /// <summary>6.4.3.5.2 double word address space: a memory window, both ends fixed, not cacheable, writable.</summary>
    public static byte[] MemoryWindow32(uint first, uint last) =>
    [
        0x87, 0x17, 0x00, 0x00, 0x0C, 0x01, .. Little32(0), .. Little32(first), .. Little32(last), .. Little32(0),
        .. Little32(last - first + 1),
    ];

    /// <summary>6.4.3.5.1 quad word address space: a memory window.</summary>
    public static byte[] MemoryWindow64(ulong first, ulong last) =>
    [
        0x8A, 0x2B, 0x00, 0x00, 0x0C, 0x01, .. Little64(0), .. Little64(first), .. Little64(last), .. Little64(0),
        .. Little64(last - first + 1),
    ];

    private static byte[] Word(byte type, byte specific, ushort first, ushort last) =>
    [
        0x88, 0x0D, 0x00, type, 0x0C, specific, .. Little16(0), .. Little16(first), .. Little16(last), .. Little16(0),
        .. Little16((ushort)(last - first + 1)),
    ];

    private static byte[] Block(byte[] opcode, byte[] head, byte[][] terms)
    {
        byte[] body = [.. head, .. terms.SelectMany(t => t)];
        return [.. opcode, .. PackageLength(body.Length), .. body];
    }

    /// <summary>20.2.4: the length counts itself.</summary>
    private static byte[] PackageLength(int length)
    {
        if (length + 1 < 0x40)
        {
            return [(byte)(length + 1)];
        }

        int extra = length + 2 < 0x1000 ? 1 : length + 3 < 0x10_0000 ? 2 : 3;
        int total = length + 1 + extra;
        byte[] bytes = new byte[1 + extra];
        bytes[0] = (byte)((extra << 6) | (total & 15));
        for (int i = 1; i <= extra; i++)
        {
            bytes[i] = (byte)(total >> (4 + (8 * (i - 1))));
        }

        return bytes;
    }

    private static byte[] NameString(string name)
    {
        bool root = name.StartsWith('\\');
        string[] segments = (root ? name[1..] : name).Split('.');
        byte[] path = [.. segments.SelectMany(s => Encoding.ASCII.GetBytes(s.PadRight(4, '_')))];
        byte[] prefix = segments.Length switch
        {
            1 => [],
            2 => [0x2E],
            _ => [0x2F, (byte)segments.Length],
        };
        return [.. root ? "\\"u8 : [], .. prefix, .. path];
    }

    private static byte[] Little16(ushort value) => [(byte)value, (byte)(value >> 8)];

    private static byte[] Little32(uint value) => [.. Little16((ushort)value), .. Little16((ushort)(value >> 16))];

    private static byte[] Little64(ulong value) => [.. Little32((uint)value), .. Little32((uint)(value >> 32))];
}

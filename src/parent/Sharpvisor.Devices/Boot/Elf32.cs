// Loading the segments of a 32-bit x86 ELF executable at their physical addresses (System V ABI, "Program Loading").
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Boot;

/// <summary>An ELF32 loader for multiboot images.</summary>
internal static class Elf32
{
    private const int HeaderBytes = 52;
    private const int ProgramHeaderBytes = 32;
    private const byte Class32 = 1;
    private const ushort MachineI386 = 3;
    private const uint Loadable = 1;

    /// <returns>The entry point, and the end of the image in memory.</returns>
    public static (uint Entry, ulong End) Load(GuestMemory memory, BootFile kernel)
    {
        ReadOnlySpan<byte> file = kernel.Content.Span;
        if (file.Length < HeaderBytes || !file.StartsWith("\u007FELF"u8))
        {
            throw new BootException($"{kernel.Name}: the multiboot image is not an ELF file and gives no load addresses");
        }

        if (file[4] != Class32 || BinaryPrimitives.ReadUInt16LittleEndian(file[18..]) != MachineI386)
        {
            throw new BootException($"{kernel.Name}: the multiboot image is not a 32-bit x86 ELF file");
        }

        uint entry = BinaryPrimitives.ReadUInt32LittleEndian(file[24..]);
        uint table = BinaryPrimitives.ReadUInt32LittleEndian(file[28..]);
        int entryBytes = BinaryPrimitives.ReadUInt16LittleEndian(file[42..]);
        int count = BinaryPrimitives.ReadUInt16LittleEndian(file[44..]);
        if (entryBytes < ProgramHeaderBytes || table + ((ulong)count * (uint)entryBytes) > (ulong)file.Length)
        {
            throw new BootException($"{kernel.Name}: the ELF file is truncated or damaged (program headers)");
        }

        ulong end = 0;
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> header = file[((int)table + (i * entryBytes))..];
            if (BinaryPrimitives.ReadUInt32LittleEndian(header) != Loadable)
            {
                continue;
            }

            uint offset = BinaryPrimitives.ReadUInt32LittleEndian(header[4..]);
            uint gpa = BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
            uint fileBytes = BinaryPrimitives.ReadUInt32LittleEndian(header[16..]);
            uint memoryBytes = BinaryPrimitives.ReadUInt32LittleEndian(header[20..]);
            if (offset + (ulong)fileBytes > (ulong)file.Length)
            {
                throw new BootException($"{kernel.Name}: the ELF file is truncated: {file.Length} bytes of {offset + (ulong)fileBytes}");
            }

            CopySegment(memory, kernel.Name, gpa, file.Slice((int)offset, (int)fileBytes), Math.Max(memoryBytes, fileBytes));
            end = Math.Max(end, gpa + (ulong)memoryBytes);
        }

        return end != 0 ? (entry, end) : throw new BootException($"{kernel.Name}: the ELF file has nothing to load");
    }

    /// <summary>Copies bytes and zeros the rest of the segment.</summary>
    public static void CopySegment(GuestMemory memory, string name, ulong gpa, ReadOnlySpan<byte> bytes, ulong memoryBytes)
    {
        ulong limit = BootMemoryMap.UsableLowRamEnd(memory);
        if (gpa > limit || memoryBytes > limit - gpa)
        {
            throw new BootException($"{name}: memory is too small: it needs RAM up to 0x{gpa + memoryBytes:x}");
        }

        if (!memory.TryWrite(gpa, bytes))
        {
            throw new BootException($"{name}: there is no RAM at 0x{gpa:x}");
        }

        // RAM is zero at power-on; after a reset it is not.
        byte[] zeros = new byte[64 * 1024];
        for (ulong done = (ulong)bytes.Length; done < memoryBytes;)
        {
            int take = (int)Math.Min((ulong)zeros.Length, memoryBytes - done);
            memory.TryWrite(gpa + done, zeros.AsSpan(0, take));
            done += (ulong)take;
        }
    }
}

// Loads multiboot 1 images (Multiboot Specification 0.6.96) the way qemu's -kernel does, which kvm-unit-tests rely on
// (x86/cstart64.S, lib/x86/setup.c): ELF32 or the a.out kludge, modules behind the image, all of the information set.
using System.Buffers.Binary;
using System.Text;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Boot;

/// <summary>Puts a multiboot kernel and its modules into guest memory.</summary>
public static class MultibootLoader
{
    private const uint HeaderMagic = 0x1BAD_B002;
    private const uint BootMagic = 0x2BAD_B002;
    private const int SearchBytes = 8192;
    private const uint AddressFields = 1 << 16;

    // Bits 0 (align modules), 1 (memory information) and 2 (video: we have none to set) may be required of a loader.
    private const uint KnownRequirements = 7;
    private const ulong GdtGpa = 0x1000;

    // High in conventional memory: images loaded below 64 KiB (kvm-unit-tests x86/realmode.c) reach past 0x9000, qemu's place.
    private const ulong InformationGpa = 0x8_0000;
    private const ulong InformationLimit = 0x9_0000;
    private const ulong MiB = 1 << 20;

    /// <summary>Whether a file has a multiboot header.</summary>
    public static bool IsMultiboot(ReadOnlySpan<byte> file) => FindHeader(file) >= 0;

    /// <param name="memory">The partition's memory; firmware tables are in place.</param>
    /// <param name="kernel">A multiboot image.</param>
    /// <param name="modules">May be empty.</param>
    /// <param name="commandLine">Goes behind the kernel's name, as its arguments.</param>
    /// <exception cref="BootException">With one line that names the problem.</exception>
    public static BootState Load(GuestMemory memory, BootFile kernel, IReadOnlyList<BootModule> modules, string commandLine)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(kernel);
        ArgumentNullException.ThrowIfNull(modules);
        ReadOnlySpan<byte> file = kernel.Content.Span;
        int at = FindHeader(file);
        if (at < 0)
        {
            throw new BootException($"{kernel.Name}: not a multiboot image");
        }

        uint flags = Read32(file, at + 4);
        if ((flags & 0xFFFF & ~KnownRequirements) != 0)
        {
            throw new BootException($"{kernel.Name}: the multiboot image requires features 0x{flags:x} that are not offered");
        }

        (uint entry, ulong end) = (flags & AddressFields) != 0 ? LoadFlat(memory, kernel, at) : Elf32.Load(memory, kernel);
        WriteInformation(memory, kernel, modules, commandLine, end);
        WriteGdt(memory);
        return EntryState(entry);
    }

    private static int FindHeader(ReadOnlySpan<byte> file)
    {
        int last = Math.Min(file.Length, SearchBytes) - 12;
        for (int at = 0; at <= last; at += 4)
        {
            if (Read32(file, at) == HeaderMagic && HeaderMagic + Read32(file, at + 4) + Read32(file, at + 8) == 0)
            {
                return at;
            }
        }

        return -1;
    }

    /// <summary>3.1.3: the header itself says what goes where.</summary>
    private static (uint Entry, ulong End) LoadFlat(GuestMemory memory, BootFile kernel, int at)
    {
        ReadOnlySpan<byte> file = kernel.Content.Span;
        if (at + 32 > file.Length)
        {
            throw new BootException($"{kernel.Name}: the multiboot image is truncated");
        }

        uint header = Read32(file, at + 12);
        uint load = Read32(file, at + 16);
        uint loadEnd = Read32(file, at + 20);
        uint bssEnd = Read32(file, at + 24);
        long start = at - ((long)header - load);
        long bytes = loadEnd == 0 ? file.Length - start : (long)loadEnd - load;
        if (header < load || start < 0 || bytes <= 0)
        {
            throw new BootException($"{kernel.Name}: the multiboot header's addresses contradict each other");
        }

        if (start + bytes > file.Length)
        {
            throw new BootException($"{kernel.Name}: the multiboot image is truncated: {file.Length} bytes of {start + bytes}");
        }

        ulong end = Math.Max(load + (ulong)bytes, bssEnd);
        Elf32.CopySegment(memory, kernel.Name, load, file.Slice((int)start, (int)bytes), end - load);
        return (Read32(file, at + 28), end);
    }

    private static void WriteInformation(
        GuestMemory memory, BootFile kernel, IReadOnlyList<BootModule> modules, string commandLine, ulong end)
    {
        const int InformationBytes = 88;
        List<byte> area = [.. new byte[InformationBytes]];
        byte[] moduleTable = new byte[16 * modules.Count];
        ulong next = end;

        uint Append(ReadOnlySpan<byte> bytes)
        {
            while (area.Count % 4 != 0)
            {
                area.Add(0);
            }

            uint gpa = (uint)InformationGpa + (uint)area.Count;
            area.AddRange(bytes);
            return gpa;
        }

        uint AppendText(string text) => Append([.. Encoding.UTF8.GetBytes(text), 0]);

        for (int i = 0; i < modules.Count; i++)
        {
            ReadOnlySpan<byte> content = modules[i].File.Content.Span;
            next = (next + 0xFFF) & ~0xFFFUL;
            Elf32.CopySegment(memory, modules[i].File.Name, next, content, (ulong)content.Length);
            Span<byte> entry = moduleTable.AsSpan(16 * i);
            BinaryPrimitives.WriteUInt32LittleEndian(entry, (uint)next);
            next += (ulong)content.Length;
            BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], (uint)next);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], AppendText(modules[i].CommandLine));
        }

        byte[] information = new byte[InformationBytes];
        void Put(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(information.AsSpan(offset), value);
        byte[] map = MemoryMap(memory);
        // Memory, boot device, command line, modules, memory map, boot loader name.
        Put(0, 0x1 | 0x2 | 0x4 | 0x8 | 0x40 | 0x200);
        Put(4, (uint)(PlatformLayout.EbdaGpa >> 10));
        Put(8, (uint)((BootMemoryMap.UsableLowRamEnd(memory) - MiB) >> 10));
        Put(12, 0x8000_FFFF);
        Put(16, AppendText(commandLine.Length == 0 ? kernel.Name : $"{kernel.Name} {commandLine}"));
        Put(20, (uint)modules.Count);
        Put(24, Append(moduleTable));
        Put(44, (uint)map.Length);
        Put(48, Append(map));
        Put(64, AppendText("Sharpvisor"));
        if (InformationGpa + (ulong)area.Count > InformationLimit)
        {
            throw new BootException("the kernel command line is too long");
        }

        byte[] result = [.. area];
        information.CopyTo(result, 0);
        memory.TryWrite(InformationGpa, result);
    }

    /// <summary>3.3: each entry is preceded by its size.</summary>
    private static byte[] MemoryMap(GuestMemory memory)
    {
        IReadOnlyList<MemoryMapEntry> entries = BootMemoryMap.Build(memory);
        byte[] map = new byte[24 * entries.Count];
        for (int i = 0; i < entries.Count; i++)
        {
            Span<byte> entry = map.AsSpan(24 * i);
            BinaryPrimitives.WriteUInt32LittleEndian(entry, 20);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[4..], entries[i].Gpa);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[12..], entries[i].Bytes);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[20..], (uint)entries[i].Type);
        }

        return map;
    }

    private static void WriteGdt(GuestMemory memory)
    {
        byte[] gdt = new byte[0x20];
        BinaryPrimitives.WriteUInt64LittleEndian(gdt.AsSpan(0x08), 0x00CF_9B00_0000_FFFF);
        BinaryPrimitives.WriteUInt64LittleEndian(gdt.AsSpan(0x10), 0x00CF_9300_0000_FFFF);
        BinaryPrimitives.WriteUInt64LittleEndian(gdt.AsSpan(0x18), 0x0000_8B00_0000_0067);
        memory.TryWrite(GdtGpa, gdt);
    }

    /// <summary>3.2: 32-bit protected mode, flat segments, no paging.</summary>
    private static BootState EntryState(uint entry) => new()
    {
        Rip = entry,
        Rax = BootMagic,
        Rbx = InformationGpa,
        Rsp = 0x8000,
        Cr0 = 0x11,
        GdtBase = GdtGpa,
        GdtLimit = 0x1F,
        Code = new SegmentRegister { Selector = 0x08, Base = 0, Limit = uint.MaxValue, Attributes = 0xC9B },
        Data = new SegmentRegister { Selector = 0x10, Base = 0, Limit = uint.MaxValue, Attributes = 0xC93 },
        Task = new SegmentRegister { Selector = 0x18, Base = 0, Limit = 0x67, Attributes = 0x08B },
    };

    private static uint Read32(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);
}

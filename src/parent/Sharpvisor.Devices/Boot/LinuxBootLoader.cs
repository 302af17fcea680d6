// Loads a bzImage by the 64-bit boot protocol (Linux Documentation/x86/boot.rst and zero-page.rst).
using System.Buffers.Binary;
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.Devices.Vga;

namespace Sharpvisor.Devices.Boot;

/// <summary>Puts a Linux kernel, its initrd and command line into guest memory.</summary>
public static class LinuxBootLoader
{
    private const ulong GdtGpa = 0x1000;
    private const ulong PageTablesGpa = 0x2000;
    private const ulong ZeroPageGpa = 0x8000;
    private const ulong CommandLineGpa = 0x9000;
    private const int ZeroPageBytes = 4096;
    private const int MaximumMapEntries = 128;
    private const ulong PageMask = 0xFFF;
    private const ulong MiB = 1 << 20;

    /// <summary>Whether a file is a bzImage at all; a multiboot loader may take the others.</summary>
    public static bool IsLinux(ReadOnlySpan<byte> file) =>
        file.Length >= LinuxHeader.MinimumBytes
        && BinaryPrimitives.ReadUInt32LittleEndian(file[LinuxHeader.MagicOffset..]) == LinuxHeader.Magic;

    /// <param name="memory">The partition's memory; firmware tables are in place.</param>
    /// <param name="kernel">A bzImage.</param>
    /// <param name="initrd">Null for none.</param>
    /// <param name="commandLine">ASCII.</param>
    /// <param name="screen">The display adapter, in the mode that the kernel is to find; null: none.</param>
    /// <exception cref="BootException">With one line that names the problem.</exception>
    public static BootState Load(GuestMemory memory, BootFile kernel, BootFile? initrd, string commandLine, VgaAdapter? screen = null)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(kernel);
        ArgumentNullException.ThrowIfNull(commandLine);
        var header = LinuxHeader.Parse(kernel);
        ulong ramEnd = BootMemoryMap.UsableLowRamEnd(memory);
        ulong load = ChooseLoadAddress(header, kernel, ramEnd);
        ReadOnlySpan<byte> image = kernel.Content.Span[header.PayloadOffset..];
        Write(memory, load, image);

        byte[] zeroPage = new byte[ZeroPageBytes];
        LinuxHeader.CopyTo(kernel.Content.Span, zeroPage);
        if (initrd is not null)
        {
            PlaceInitrd(memory, initrd, header, load, ramEnd, zeroPage);
        }

        WriteCommandLine(memory, commandLine, header);
        ScreenInfo.Write(zeroPage, screen);
        FillZeroPage(memory, zeroPage);
        Write(memory, ZeroPageGpa, zeroPage);
        WriteGdt(memory);
        WritePageTables(memory);
        return EntryState(load);
    }

    private static ulong ChooseLoadAddress(LinuxHeader header, BootFile kernel, ulong ramEnd)
    {
        ulong preferred = header.PreferredAddress;
        if (preferred >= MiB && preferred <= ramEnd && header.InitBytes <= ramEnd - preferred)
        {
            return preferred;
        }

        // boot.rst: a relocatable kernel runs at any multiple of kernel_alignment.
        ulong lowest = (MiB + header.Alignment - 1) & ~(header.Alignment - 1);
        if (header.IsRelocatable && lowest <= ramEnd && header.InitBytes <= ramEnd - lowest)
        {
            return lowest;
        }

        ulong needed = header.InitBytes + (header.IsRelocatable ? lowest : preferred);
        throw new BootException(
            $"{kernel.Name}: memory is too small: this kernel needs at least {(needed + PlatformLayout.AcpiBytes + MiB - 1) / MiB} MiB");
    }

    private static void PlaceInitrd(
        GuestMemory memory, BootFile initrd, LinuxHeader header, ulong load, ulong ramEnd, byte[] zeroPage)
    {
        ulong bytes = (ulong)initrd.Content.Length;
        if (bytes == 0)
        {
            throw new BootException($"{initrd.Name}: the initrd is empty");
        }

        // As high as allowed, so that the kernel can unpack itself below.
        ulong limit = Math.Min(ramEnd, (ulong)header.InitrdAddressMax + 1);
        ulong kernelEnd = load + header.InitBytes;
        ulong gpa;
        if (limit > kernelEnd && limit - kernelEnd >= bytes && ((limit - bytes) & ~PageMask) >= kernelEnd)
        {
            gpa = (limit - bytes) & ~PageMask;
        }
        else if (header.CanLoadAbove4G && memory.HighRamBytes >= bytes)
        {
            gpa = (GuestMemory.HighRamBase + memory.HighRamBytes - bytes) & ~PageMask;
        }
        else
        {
            throw new BootException(
                $"{initrd.Name}: memory is too small: no room for an initrd of {(bytes + MiB - 1) / MiB} MiB above the kernel");
        }

        Write(memory, gpa, initrd.Content.Span);
        BinaryPrimitives.WriteUInt32LittleEndian(zeroPage.AsSpan(0x218), (uint)gpa);
        BinaryPrimitives.WriteUInt32LittleEndian(zeroPage.AsSpan(0x21C), (uint)bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(zeroPage.AsSpan(0x0C0), (uint)(gpa >> 32));
        BinaryPrimitives.WriteUInt32LittleEndian(zeroPage.AsSpan(0x0C4), (uint)(bytes >> 32));
    }

    private static void WriteCommandLine(GuestMemory memory, string commandLine, LinuxHeader header)
    {
        byte[] text = Encoding.UTF8.GetBytes(commandLine);
        uint limit = header.CommandLineLimit;
        if ((uint)text.Length > limit)
        {
            throw new BootException($"the kernel command line has {text.Length} bytes, this kernel takes {limit}");
        }

        Write(memory, CommandLineGpa, [.. text, 0]);
    }

    private static void FillZeroPage(GuestMemory memory, byte[] zeroPage)
    {
        IReadOnlyList<MemoryMapEntry> map = BootMemoryMap.Build(memory);
        BinaryPrimitives.WriteUInt64LittleEndian(zeroPage.AsSpan(0x070), PlatformLayout.RsdpGpa);
        zeroPage[0x1E8] = (byte)Math.Min(map.Count, MaximumMapEntries);
        for (int i = 0; i < map.Count && i < MaximumMapEntries; i++)
        {
            Span<byte> entry = zeroPage.AsSpan(0x2D0 + (20 * i));
            BinaryPrimitives.WriteUInt64LittleEndian(entry, map[i].Gpa);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[8..], map[i].Bytes);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[16..], (uint)map[i].Type);
        }

        // type_of_loader: no assigned id. Load flags: LOADED_HIGH stays as in the image.
        zeroPage[0x210] = 0xFF;
        BinaryPrimitives.WriteUInt32LittleEndian(zeroPage.AsSpan(0x228), (uint)CommandLineGpa);
        BinaryPrimitives.WriteUInt16LittleEndian(zeroPage.AsSpan(0x1FA), 0xFFFF);
    }

    private static void WriteGdt(GuestMemory memory)
    {
        // __BOOT_CS at 0x10 (64-bit code), __BOOT_DS at 0x18, and a busy task segment at 0x20.
        byte[] gdt = new byte[0x30];
        BinaryPrimitives.WriteUInt64LittleEndian(gdt.AsSpan(0x10), 0x00AF_9B00_0000_FFFF);
        BinaryPrimitives.WriteUInt64LittleEndian(gdt.AsSpan(0x18), 0x00CF_9300_0000_FFFF);
        BinaryPrimitives.WriteUInt64LittleEndian(gdt.AsSpan(0x20), 0x0080_8B00_0000_0067);
        Write(memory, GdtGpa, gdt);
    }

    /// <summary>Identity-maps the low 4 GiB with 2 MiB pages: kernel, zero page and command line are all there.</summary>
    private static void WritePageTables(GuestMemory memory)
    {
        byte[] tables = new byte[6 * 4096];
        void Put(int page, int index, ulong value) =>
            BinaryPrimitives.WriteUInt64LittleEndian(tables.AsSpan((page * 4096) + (index * 8)), value);

        Put(0, 0, (PageTablesGpa + 0x1000) | 3);
        for (int gib = 0; gib < 4; gib++)
        {
            Put(1, gib, (PageTablesGpa + 0x2000 + ((ulong)gib << 12)) | 3);
            for (int i = 0; i < 512; i++)
            {
                Put(2 + gib, i, (((ulong)gib << 30) + ((ulong)i << 21)) | 0x83);
            }
        }

        Write(memory, PageTablesGpa, tables);
    }

    private static BootState EntryState(ulong load) => new()
    {
        Rip = load + 0x200,
        Rsi = ZeroPageGpa,
        Rsp = 0x7_0000,
        // PE, ET, NE, WP, PG; PAE; LME, LMA.
        Cr0 = 0x8001_0031,
        Cr3 = PageTablesGpa,
        Cr4 = 0x20,
        Efer = 0x500,
        GdtBase = GdtGpa,
        GdtLimit = 0x2F,
        Code = new SegmentRegister { Selector = 0x10, Base = 0, Limit = uint.MaxValue, Attributes = 0xA9B },
        Data = new SegmentRegister { Selector = 0x18, Base = 0, Limit = uint.MaxValue, Attributes = 0xC93 },
        Task = new SegmentRegister { Selector = 0x20, Base = 0, Limit = 0x67, Attributes = 0x08B },
    };

    private static void Write(GuestMemory memory, ulong gpa, ReadOnlySpan<byte> bytes)
    {
        if (!memory.TryWrite(gpa, bytes))
        {
            throw new BootException($"memory is too small: nothing at 0x{gpa:x} to load {bytes.Length} bytes to");
        }
    }
}

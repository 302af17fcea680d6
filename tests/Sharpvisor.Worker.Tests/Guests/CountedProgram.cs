// A guest without an operating system that does each counted thing a known number of times, in long mode, and leaves by the exit port.
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Sharpvisor.Worker.Tests.Guests;

internal sealed class CountedProgram
{
    private const uint ImageGpa = 0x10_0000;
    private const uint EntryOffset = 0x100;
    private const uint GdtOffset = 0x200;
    private const uint LongOffset = 0x400;
    private const uint PageMapOffset = 0x1000;
    private const int PageTables = 6;

    private readonly Assembler _a = new(64);

    /// <summary>The multiboot image, once <see cref="Finish"/> has been called.</summary>
    public byte[] Image { get; } = new byte[PageMapOffset + (PageTables * 0x1000)];

    /// <summary>Instructions it executes from its entry to the OUT that ends it, this one included.</summary>
    public long Instructions { get; private set; }

    /// <summary>Runs a body a number of times; it must leave R12 alone.</summary>
    public void Repeat(int times, Action<Assembler> body)
    {
        _a.mov(r12d, times);
        Label top = _a.CreateLabel();
        _a.Label(ref top);
        int before = _a.Instructions.Count;
        body(_a);
        _a.dec(r12d);
        _a.jne(top);
        Instructions += 1 + ((long)times * (_a.Instructions.Count - before));
    }

    /// <summary>Ends the program and completes the image.</summary>
    public void Finish()
    {
        _a.@out(0xF4, al);
        Instructions++;
        _a.hlt();
        Put(LongOffset, Assemble(_a, ImageGpa + LongOffset));
        byte[] entry = Enter();
        Put(EntryOffset, entry);
        // Multiboot 3.1: the address fields say what goes where.
        uint[] header = [0x1BAD_B002, 0x1_0000, unchecked(0u - 0x1BAD_B002 - 0x1_0000), ImageGpa, ImageGpa, 0, 0, ImageGpa + EntryOffset];
        Put(0, MemoryMarshal.AsBytes<uint>(header));
        Put(GdtOffset, MemoryMarshal.AsBytes<ulong>([0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF]));
        Put(GdtOffset + 0x40, [0x17, 0]);
        Put(GdtOffset + 0x42, BitConverter.GetBytes(ImageGpa + GdtOffset));

        // The first 4 GiB, one to one, in pages of 2 MiB.
        PutEntry(PageMapOffset, 0, ImageGpa + PageMapOffset + 0x1000);
        for (uint gib = 0; gib < 4; gib++)
        {
            uint directory = PageMapOffset + 0x2000 + (gib * 0x1000);
            PutEntry(PageMapOffset + 0x1000, gib, ImageGpa + directory);
            for (uint i = 0; i < 512; i++)
            {
                PutEntry(directory, i, ((ulong)gib << 30) | ((ulong)i << 21) | 0x80);
            }
        }
    }

    private byte[] Enter()
    {
        var a = new Assembler(32);
        a.lgdt(__[ImageGpa + GdtOffset + 0x40]);
        a.mov(eax, 0x620);
        a.mov(cr4, eax);
        a.mov(eax, ImageGpa + PageMapOffset);
        a.mov(cr3, eax);
        a.mov(ecx, 0xC000_0080);
        a.mov(eax, 0x100);
        a.xor(edx, edx);
        a.wrmsr();
        a.mov(eax, 0x8000_0021);
        a.mov(cr0, eax);
        byte[] text = Assemble(a, ImageGpa + EntryOffset);
        // jmp far 0x08:LongOffset
        byte[] jump = [0xEA, 0, 0, 0, 0, 8, 0];
        BinaryPrimitives.WriteUInt32LittleEndian(jump.AsSpan(1), ImageGpa + LongOffset);
        Instructions += a.Instructions.Count + 1;
        return [.. text, .. jump];
    }

    private static byte[] Assemble(Assembler assembler, ulong at)
    {
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), at);
        return stream.ToArray();
    }

    private void Put(uint offset, ReadOnlySpan<byte> bytes) => bytes.CopyTo(Image.AsSpan((int)offset));

    private void PutEntry(uint table, uint index, ulong entry) =>
        BinaryPrimitives.WriteUInt64LittleEndian(Image.AsSpan((int)(table + (index * 8))), entry | 3);
}

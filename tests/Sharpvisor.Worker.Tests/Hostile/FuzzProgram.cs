// The hostile guest as a multiboot image: a long mode loop on two VPs that runs the records of a script forever. Whatever an
// instruction raises, the next record follows; where the loop is and its random state are below the image, so a reset goes on.
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Sharpvisor.Worker.Tests.Hostile;

internal static class FuzzProgram
{
    public const ulong ScriptGpa = 0x20_0000;
    public const int MaxRecords = 0xC000;
    public const ulong BlobGpa = 0x60_0000;
    public const int MaxBlobBytes = 0x20_0000;

    /// <summary>Memory that the script may do anything with.</summary>
    public const ulong ArenaGpa = 0x100_0000;
    public const ulong ArenaBytes = 0x100_0000;

    /// <summary>The first pages of the arena hang below the page map's entries 1 to 4.</summary>
    public const int PageTablePages = 64;

    public const ulong TrampolineGpa = 0x7000;
    public const ulong TrampolineCopyGpa = 0x18_F000;

    private const ulong ImageGpa = 0x10_0000;
    private const ulong OperationsGpa = 0x11_0000;
    private const ulong SecondOperationsGpa = 0x12_0000;
    private const int SlotShift = 7;
    private const ulong StateGpa = 0x5000;
    private const ulong PageMapGpa = 0x18_0000;
    private const ulong IdtGpa = 0x18_8000;
    private const ulong GdtGpa = 0x18_A000;
    private const ulong TaskGpa = 0x18_A800;
    private const ulong StackGpa = 0x18_C000;
    private const uint LocalApic = 0xFEE0_0000;

    /// <summary>The whole image.</summary>
    /// <param name="secondScript">Where the second VP's part of the script starts.</param>
    public static byte[] Build(ReadOnlySpan<FuzzRecord> script, int secondScript, ReadOnlySpan<byte> blob, ulong seed)
    {
        var image = new byte[BlobGpa + MaxBlobBytes - ImageGpa];
        void Put(ulong gpa, ReadOnlySpan<byte> bytes) => bytes.CopyTo(image.AsSpan((int)(gpa - ImageGpa)));
        Put(ScriptGpa, MemoryMarshal.AsBytes(script));
        Put(BlobGpa, blob);
        WriteTables(image);
        ulong firstEnd = ScriptGpa + ((ulong)secondScript * FuzzRecord.Bytes);
        ulong secondEnd = ScriptGpa + ((ulong)script.Length * FuzzRecord.Bytes);
        ulong first = ImageGpa + 0x1000;
        ulong second = ImageGpa + 0x2000;
        Put(first, Long(first, 0, seed, ScriptGpa, firstEnd, OperationsGpa));
        Put(second, Long(second, 1, ~seed, firstEnd, secondEnd, SecondOperationsGpa));
        Put(ImageGpa + 0x100, Enter(ImageGpa + 0x100, first));
        Put(ImageGpa + 0x200, Enter(ImageGpa + 0x200, second));
        for (int vp = 0; vp < 2; vp++)
        {
            ulong table = vp == 0 ? OperationsGpa : SecondOperationsGpa;
            ulong loop = (vp == 0 ? first : second) + 0x400;
            for (uint i = 0; i < (uint)FuzzOperation.Count; i++)
            {
                ulong at = table + (i << SlotShift);
                Put(at, Operation((FuzzOperation)i, at, loop, vp == 1));
            }
        }

        // Multiboot 3.1: the address fields say what goes where.
        uint[] header = [0x1BAD_B002, 0x1_0000, unchecked(0u - 0x1BAD_B002 - 0x1_0000), (uint)ImageGpa, (uint)ImageGpa, 0, 0, (uint)ImageGpa + 0x100];
        Put(ImageGpa, MemoryMarshal.AsBytes<uint>(header));
        Put(TrampolineCopyGpa, Trampoline((uint)ImageGpa + 0x200));
        return image;
    }

    private static void WriteTables(byte[] image)
    {
        void Put(ulong gpa, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan((int)(gpa - ImageGpa)), value);
        Put(PageMapGpa, (PageMapGpa + 0x1000) | 3);
        for (ulong i = 1; i < 5; i++)
        {
            Put(PageMapGpa + (i * 8), (ArenaGpa + (i * 0x1000)) | 7);
        }

        for (ulong gib = 0; gib < 5; gib++)
        {
            // The last is VMBus's high MMIO window.
            ulong at = gib == 4 ? 0x3F : gib;
            ulong directory = PageMapGpa + 0x2000 + (gib * 0x1000);
            Put(PageMapGpa + 0x1000 + (at * 8), directory | 3);
            for (ulong i = 0; i < 512; i++)
            {
                Put(directory + (i * 8), ((at << 30) + (i << 21)) | 0x83);
            }
        }

        ulong[] gdt = [0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x00CF_9B00_0000_FFFF];
        for (int i = 0; i < gdt.Length; i++)
        {
            Put(GdtGpa + ((ulong)i * 8), gdt[i]);
        }

        for (ulong vp = 0; vp < 2; vp++)
        {
            ulong task = TaskGpa + (vp * 0x80);
            Put(GdtGpa + 0x20 + (vp * 16), 0x67 | ((task & 0xFF_FFFF) << 16) | (0x89UL << 40));
            Put(task + 0x24, StackGpa + 0x1000 + (vp * 0x1000));
            ulong loop = ImageGpa + 0x1000 + (vp * 0x1000) + 0x400;
            ulong interrupt = ImageGpa + 0x1000 + (vp * 0x1000) + 0x300;
            for (ulong vector = 0; vector < 256; vector++)
            {
                ulong target = vector < 32 ? loop : interrupt;
                ulong gate = IdtGpa + (vp * 0x1000) + (vector * 16);
                Put(gate, (target & 0xFFFF) | 0x08_0000 | (1UL << 32) | (0x8EUL << 40) | ((target >> 16) << 48));
            }
        }
    }

    /// <summary>Real mode at its page: into flat 32-bit code at an address.</summary>
    private static byte[] Trampoline(uint entry)
    {
        byte[] code = new byte[0x100];
        // cli; xor ax,ax; mov ds,ax; lgdt [0x7080]; mov eax,cr0; or al,1; mov cr0,eax; jmp 0x18:entry
        byte[] text = [0xFA, 0x31, 0xC0, 0x8E, 0xD8, 0x66, 0x0F, 0x01, 0x16, 0x80, 0x70, 0x0F, 0x20, 0xC0, 0x0C, 1, 0x0F, 0x22, 0xC0, 0x66, 0xEA];
        text.CopyTo(code, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(code.AsSpan(text.Length), entry);
        code[text.Length + 4] = 0x18;
        BinaryPrimitives.WriteUInt16LittleEndian(code.AsSpan(0x80), 0x3F);
        BinaryPrimitives.WriteUInt32LittleEndian(code.AsSpan(0x82), (uint)GdtGpa);
        return code;
    }

    /// <summary>Flat 32-bit code that enters long mode.</summary>
    private static byte[] Enter(ulong at, ulong target)
    {
        // The descriptors' bases are behind the code.
        uint pointer = (uint)at + 0x80;
        var a = new Assembler(32);
        a.cli();
        a.mov(eax, 0x10);
        // 0x10 is flat data in the loader's table and in ours; until then a started VP has real mode's limit.
        a.mov(ds, eax);
        a.lgdt(__[pointer]);
        a.mov(es, eax);
        a.mov(ss, eax);
        a.mov(eax, 0x6A0);
        a.mov(cr4, eax);
        a.mov(eax, (uint)PageMapGpa);
        a.mov(cr3, eax);
        a.mov(ecx, 0xC000_0080);
        a.mov(eax, 0x900);
        a.xor(edx, edx);
        a.wrmsr();
        a.mov(eax, 0x8000_0023);
        a.mov(cr0, eax);
        byte[] code = new byte[0x90];
        byte[] text = Assemble(a, at);
        text.CopyTo(code, 0);
        // jmp far 0x08:target
        code[text.Length] = 0xEA;
        BinaryPrimitives.WriteUInt32LittleEndian(code.AsSpan(text.Length + 1), (uint)target);
        code[text.Length + 5] = 8;
        BinaryPrimitives.WriteUInt16LittleEndian(code.AsSpan(0x80), 0x3F);
        BinaryPrimitives.WriteUInt32LittleEndian(code.AsSpan(0x82), (uint)GdtGpa);
        return code;
    }

    /// <summary>A VP's long mode code: set-up at 0, interrupts at 0x300, the loop at 0x400.</summary>
    private static byte[] Long(ulong at, int vp, ulong seed, ulong script, ulong scriptEnd, ulong operations)
    {
        ulong state = StateGpa + ((ulong)vp * 0x40);
        ulong loop = at + 0x400;
        byte[] code = new byte[0x800];
        var a = new Assembler(64);
        a.mov(rsp, StackGpa + 0x1000 + ((ulong)vp * 0x1000));
        a.lidt(__[at + 0x2F0]);
        a.mov(eax, 0x20 + (vp * 16));
        // A restarted VP finds its TSS busy, which LTR refuses.
        a.mov(__byte_ptr[GdtGpa + 0x25 + ((ulong)vp * 16)], 0x89);
        a.ltr(ax);
        Label known = a.CreateLabel();
        a.mov(rbx, state);
        a.cmp(__qword_ptr[rbx], 0);
        a.jne(known);
        a.mov(rax, script);
        a.mov(__qword_ptr[rbx], rax);
        a.mov(rax, seed | 1);
        a.mov(__qword_ptr[rbx + 8], rax);
        a.Label(ref known);
        WriteApic(a, 0xF0, 0x1FF);
        if (vp == 0)
        {
            // INIT and SIPI to the other VP (Intel SDM Vol. 3A, 11.4.7.3).
            a.mov(rsi, TrampolineCopyGpa);
            a.mov(rdi, TrampolineGpa);
            a.mov(ecx, 0x100);
            a.rep.movsb();
            WriteApic(a, 0x310, 1 << 24);
            WriteApic(a, 0x300, 0x4500);
            WriteApic(a, 0x300, 0x4600 | (int)(TrampolineGpa >> 12));
        }

        a.jmp(loop);
        Assemble(a, at).CopyTo(code, 0);
        BinaryPrimitives.WriteUInt16LittleEndian(code.AsSpan(0x2F0), 0xFFF);
        BinaryPrimitives.WriteUInt64LittleEndian(code.AsSpan(0x2F2), IdtGpa + ((ulong)vp * 0x1000));
        Assemble(Interrupt(loop), at + 0x300).CopyTo(code, 0x300);
        Assemble(Loop(state, vp, script, scriptEnd, operations), loop).CopyTo(code, 0x400);
        return code;
    }

    private static Assembler Interrupt(ulong loop)
    {
        var a = new Assembler(64);
        WriteApic(a, 0xB0, 0);
        a.mov(al, 0x20);
        a.@out(0x20, al);
        a.@out(0xA0, al);
        a.mov(ecx, 0x80B);
        a.xor(eax, eax);
        a.xor(edx, edx);
        // #GP unless in x2APIC mode: the loop follows either way.
        a.wrmsr();
        a.jmp(loop);
        return a;
    }

    private static Assembler Loop(ulong state, int vp, ulong script, ulong scriptEnd, ulong operations)
    {
        var a = new Assembler(64);
        Label inside = a.CreateLabel();
        a.cli();
        a.cld();
        a.mov(rsp, StackGpa + 0x1000 + ((ulong)vp * 0x1000));
        a.mov(rbx, state);
        a.mov(r15, __qword_ptr[rbx]);
        a.add(r15, FuzzRecord.Bytes);
        a.mov(rax, scriptEnd);
        a.cmp(r15, rax);
        a.jb(inside);
        a.mov(r15, script);
        a.Label(ref inside);
        a.mov(__qword_ptr[rbx], r15);
        // xorshift64
        a.mov(r14, __qword_ptr[rbx + 8]);
        foreach (int shift in (int[])[13, -7, 17])
        {
            a.mov(rax, r14);
            if (shift > 0)
            {
                a.shl(rax, (byte)shift);
            }
            else
            {
                a.shr(rax, (byte)-shift);
            }

            a.xor(r14, rax);
        }

        a.mov(__qword_ptr[rbx + 8], r14);
        a.mov(r8, __qword_ptr[r15 + 8]);
        a.mov(rax, __qword_ptr[r15 + 16]);
        a.and(rax, r14);
        a.xor(r8, rax);
        a.rol(r14, 29);
        a.mov(r9, __qword_ptr[r15 + 24]);
        a.mov(rax, __qword_ptr[r15 + 32]);
        a.and(rax, r14);
        a.xor(r9, rax);
        a.mov(r10, __qword_ptr[r15 + 40]);
        a.mov(r11, __qword_ptr[r15 + 48]);
        a.mov(eax, __dword_ptr[r15]);
        a.shl(rax, SlotShift);
        a.add(rax, (int)operations);
        a.jmp(rax);
        return a;
    }

    /// <summary>Operands: A in r8, B in r9, C in r10, D in r11.</summary>
    private static byte[] Operation(FuzzOperation operation, ulong at, ulong loop, bool isSecond)
    {
        var a = new Assembler(64);
        a.mov(edx, r8d);
        a.mov(eax, r9d);
        a.mov(rdi, r9);
        a.mov(rsi, r9);
        a.mov(ecx, r10d);
        Emit(a, operation, isSecond);
        a.jmp(loop);
        byte[] code = Assemble(a, at);
        return code.Length <= 1 << SlotShift ? code : throw new InvalidOperationException($"{operation} does not fit its slot");
    }

    private static void Emit(Assembler a, FuzzOperation operation, bool isSecond)
    {
        switch (operation)
        {
            case FuzzOperation.In8: a.@in(al, dx); break;
            case FuzzOperation.In16: a.@in(ax, dx); break;
            case FuzzOperation.In32: a.@in(eax, dx); break;
            case FuzzOperation.Out8: a.@out(dx, al); break;
            case FuzzOperation.Out16: a.@out(dx, ax); break;
            case FuzzOperation.Out32: a.@out(dx, eax); break;
            case FuzzOperation.InString8: a.rep.insb(); break;
            case FuzzOperation.InString16: a.rep.insw(); break;
            case FuzzOperation.InString32: a.rep.insd(); break;
            case FuzzOperation.OutString8: a.rep.outsb(); break;
            case FuzzOperation.OutString16: a.rep.outsw(); break;
            case FuzzOperation.OutString32: a.rep.outsd(); break;
            case FuzzOperation.Read8: a.mov(al, __byte_ptr[r8]); break;
            case FuzzOperation.Read16: a.mov(ax, __word_ptr[r8]); break;
            case FuzzOperation.Read32: a.mov(eax, __dword_ptr[r8]); break;
            case FuzzOperation.Read64: a.mov(rax, __qword_ptr[r8]); break;
            case FuzzOperation.Write8: a.mov(__byte_ptr[r8], r9b); break;
            case FuzzOperation.Write16: a.mov(__word_ptr[r8], r9w); break;
            case FuzzOperation.Write32: a.mov(__dword_ptr[r8], r9d); break;
            case FuzzOperation.Write64: a.mov(__qword_ptr[r8], r9); break;
            case FuzzOperation.ReadMsr:
                a.mov(ecx, r8d);
                a.rdmsr();
                break;
            case FuzzOperation.WriteMsr:
                a.mov(ecx, r8d);
                a.mov(rdx, r9);
                a.shr(rdx, 32);
                a.wrmsr();
                break;
            case FuzzOperation.Hypercall:
                a.mov(rcx, r8);
                a.mov(rdx, r9);
                a.mov(r8, r10);
                a.movups(xmm0, __[r11]);
                a.movups(xmm1, __[r11 + 16]);
                a.movups(xmm2, __[r11 + 32]);
                a.movups(xmm3, __[r11 + 48]);
                a.vmcall();
                break;
            case FuzzOperation.Copy:
                a.mov(rdi, r8);
                a.mov(rsi, r10);
                a.mov(rcx, r11);
                a.rep.movsb();
                break;
            case FuzzOperation.EnableInterrupts:
                a.sti();
                a.nop();
                a.pause();
                a.cli();
                break;
            case FuzzOperation.InvalidatePage: a.invlpg(__[r8]); break;
            case FuzzOperation.WriteCr8: a.mov(cr8, r8); break;
            case FuzzOperation.ReloadCr3:
                a.mov(rax, cr3);
                a.mov(cr3, rax);
                break;
            case FuzzOperation.Cpuid:
                a.mov(eax, r8d);
                a.mov(ecx, r9d);
                a.cpuid();
                break;
            case FuzzOperation.LockedAdd: a.@lock.xadd(__qword_ptr[r8], r9); break;
            case FuzzOperation.LockedExchange16: a.@lock.cmpxchg16b(__[r8]); break;
            case FuzzOperation.Execute when isSecond: a.call(r8); break;
            case FuzzOperation.Halt when isSecond:
                a.sti();
                a.hlt();
                break;
            case FuzzOperation.Wait:
                Label again = a.CreateLabel();
                // Not four billion times for 0.
                a.inc(ecx);
                a.Label(ref again);
                a.pause();
                a.dec(ecx);
                a.jnz(again);
                break;
            default:
                break;
        }
    }

    private static void WriteApic(Assembler a, uint register, int value)
    {
        // An absolute 32-bit address would be sign-extended.
        a.mov(r12d, LocalApic + register);
        a.mov(__dword_ptr[r12], value);
    }

    private static byte[] Assemble(Assembler a, ulong at)
    {
        using var stream = new MemoryStream();
        a.Assemble(new StreamCodeWriter(stream), at);
        return stream.ToArray();
    }
}

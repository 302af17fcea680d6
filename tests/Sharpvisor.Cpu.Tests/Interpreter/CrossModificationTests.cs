// Two VPs, one writing the code that the other runs (Intel SDM Vol. 3A, 8.1.3): what was written before a flag was set is what runs
// after the flag was seen. Each page is new, so the writer's stores race with the tracking of the page.
using Iced.Intel;
using Sharpvisor.Core;
using Sharpvisor.Cpu.Translator;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Sharpvisor.Cpu.Tests.Interpreter;

public sealed unsafe class CrossModificationTests
{
    private const ulong CodePages = 0x40_0000;
    private const int Pages = 400;

    // One record a page: the newest immediate, "was called", "writer is done with it".
    private const int RecordBytes = 16;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Code_written_by_one_VP_runs_on_the_other(bool translated)
    {
        using TestMachine reader = TestMachine.Long(translated ? new BlockTranslator(threshold: 1, codeBytes: 1 << 20) : null);
        using TestMachine writer = TestMachine.Long(translated ? new BlockTranslator(threshold: 1, codeBytes: 1 << 20) : null, reader.Memory);
        writer.State->Rip = TestMachine.Code + 0x1000;
        reader.State->Gpr[4] = TestMachine.StackTop;
        VpExit written = VpExit.Shutdown;
        var thread = new Thread(() => written = writer.Run(64, Write));
        thread.Start();

        VpExit read = reader.Run(64, Read);

        writer.Vp.Kick(reader.State->Gpr[15] != 0 ? VpEvents.Stop : VpEvents.None);
        thread.Join();
        Assert.Equal(VpExit.Halt, read);
        Assert.Equal(0UL, reader.State->Gpr[15]);
        Assert.Equal(VpExit.Halt, written);
        Assert.Equal(0UL, reader.State->Gpr[8]);
    }

    // Each page: MOV EAX, n; RET with n counting up, a hundred times more once the reader has called it.
    private static void Write(Assembler a)
    {
        Label page = a.CreateLabel();
        Label store = a.CreateLabel();
        Label called = a.CreateLabel();
        a.mov(rdi, CodePages);
        a.mov(rsi, TestMachine.Data);
        a.mov(r8d, Pages);
        a.Label(ref page);
        a.mov(__byte_ptr[rdi], 0xB8);
        a.mov(__byte_ptr[rdi + 5], 0xC3);
        a.mov(r9d, 100);
        a.xor(ecx, ecx);
        a.Label(ref store);
        a.inc(ecx);
        a.mov(__dword_ptr[rdi + 1], ecx);
        a.mov(__dword_ptr[rsi], ecx);
        a.cmp(__dword_ptr[rsi + 4], 0);
        a.jne(called);
        a.jmp(store);
        a.Label(ref called);
        a.dec(r9d);
        a.jne(store);
        a.mov(__dword_ptr[rsi + 8], 1);
        a.add(rdi, 4096);
        a.add(rsi, RecordBytes);
        a.dec(r8d);
        a.jne(page);
    }

    // R15 becomes 1 when a call returned less than was announced before it.
    private static void Read(Assembler a)
    {
        Label again = a.CreateLabel();
        Label fresh = a.CreateLabel();
        Label end = a.CreateLabel();
        a.mov(rdi, CodePages);
        a.mov(rsi, TestMachine.Data);
        a.mov(r8d, Pages);
        a.xor(r15d, r15d);
        a.Label(ref again);
        a.mov(ebx, __dword_ptr[rsi + 8]);
        a.mov(edx, __dword_ptr[rsi]);
        a.test(edx, edx);
        a.je(again);
        a.call(rdi);
        a.mov(__dword_ptr[rsi + 4], 1);
        a.cmp(eax, edx);
        a.jae(fresh);
        a.mov(r15d, 1);
        a.jmp(end);
        a.Label(ref fresh);
        a.test(ebx, ebx);
        a.je(again);
        a.add(rdi, 4096);
        a.add(rsi, RecordBytes);
        a.dec(r8d);
        a.jne(again);
        a.Label(ref end);
    }
}

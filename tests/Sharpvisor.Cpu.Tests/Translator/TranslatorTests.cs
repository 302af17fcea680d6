// What only the translator can get wrong: leaving and entering host code, chaining, stale code, memory for code running out.
// That its instructions are right is the differential tests' business.
using Iced.Intel;
using Sharpvisor.Core;
using Sharpvisor.Cpu.Tests.Interpreter;
using Sharpvisor.Cpu.Translator;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Sharpvisor.Cpu.Tests.Translator;

public sealed unsafe class TranslatorTests
{
    [Fact]
    public void A_hot_loop_is_translated_and_counts_its_instructions()
    {
        var translator = new BlockTranslator(threshold: 4, codeBytes: 1 << 20);
        using TestMachine machine = TestMachine.Long(translator);

        Assert.Equal(VpExit.Halt, machine.Run(64, a =>
        {
            Label loop = a.CreateLabel();
            a.mov(rax, TestMachine.Data);
            a.mov(r12d, 0);
            a.mov(ecx, 10_000);
            a.Label(ref loop);
            a.add(r12, rcx);
            a.mov(__qword_ptr[rax], r12);
            a.dec(ecx);
            a.jne(loop);
        }));

        Assert.Equal(50_005_000UL, machine.State->Gpr[12]);
        Assert.Equal(50_005_000UL, machine.Read<ulong>(TestMachine.Data));
        Assert.True(translator.Blocks > 0);
        Assert.Equal(40_004, machine.Vp.Instructions);
    }

    [Fact]
    public void Translated_code_that_was_overwritten_does_not_run_again()
    {
        using TestMachine machine = TestMachine.Long(new BlockTranslator(threshold: 1, codeBytes: 1 << 20));

        Assert.Equal(VpExit.Halt, machine.Run(64, SelfPatchingProgram.Assemble));

        Assert.Equal(SelfPatchingProgram.Sum, machine.State->Gpr[3]);
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(0xFFFF_FFFF_FFFF_FFFFUL)]
    public void A_jump_to_the_first_or_last_address_is_only_the_guests_problem(ulong target)
    {
        using TestMachine machine = TestMachine.Long(new BlockTranslator(threshold: 1, codeBytes: 1 << 20));
        machine.Memory.TryWrite(0, (byte)0xF4);

        VpExit exit = machine.Run(64, a =>
        {
            a.mov(rax, target);
            a.jmp(rax);
        });

        // HLT is at 0; a page fault without an IDT is a triple fault.
        Assert.Equal(target == 0 ? VpExit.Halt : VpExit.Shutdown, exit);
    }

    [Fact]
    public void An_event_stops_an_endless_chained_loop()
    {
        using TestMachine machine = TestMachine.Long(new BlockTranslator(threshold: 1, codeBytes: 1 << 20));
        var kicker = new Thread(() =>
        {
            while (machine.Vp.Instructions == 0 && Volatile.Read(ref machine.State->Gpr[15]) == 0)
            {
                machine.Vp.Kick(VpEvents.Engine);
                Thread.Yield();
            }

            machine.Vp.Kick(VpEvents.Stop);
        });
        kicker.Start();

        VpExit exit = machine.Run(64, a =>
        {
            Label loop = a.CreateLabel();
            a.Label(ref loop);
            a.inc(r15);
            a.jmp(loop);
        });

        kicker.Join();
        Assert.Equal(VpExit.Event, exit);
        Assert.NotEqual(0UL, machine.State->Gpr[15]);
    }

    [Fact]
    public void Full_code_memory_is_started_over()
    {
        var translator = new BlockTranslator(threshold: 1, codeBytes: 192 << 10);
        using TestMachine machine = TestMachine.Long(translator);

        Assert.Equal(VpExit.Halt, machine.Run(64, a =>
        {
            Label again = a.CreateLabel();
            a.xor(ebx, ebx);
            a.mov(ecx, 3);
            a.Label(ref again);
            for (int i = 0; i < 3000; i++)
            {
                Label next = a.CreateLabel();
                a.add(rbx, 1);
                a.jmp(next);
                a.Label(ref next);
            }

            a.dec(ecx);
            a.jne(again);
        }));

        Assert.Equal(9000UL, machine.State->Gpr[3]);
        Assert.True(translator.Flushes > 0);
    }
}

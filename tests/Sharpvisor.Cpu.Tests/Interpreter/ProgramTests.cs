// Small hand-assembled programs through the whole engine, in every mode.
using Iced.Intel;
using Sharpvisor.Core;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Sharpvisor.Cpu.Tests.Interpreter;

public sealed unsafe class ProgramTests
{
    [Fact]
    public void Loop_sums_in_long_mode()
    {
        using TestMachine m = TestMachine.Long();
        VpExit exit = m.Run(64, a =>
        {
            Label loop = a.CreateLabel();
            a.xor(eax, eax);
            a.mov(ecx, 1000);
            a.Label(ref loop);
            a.add(rax, rcx);
            a.dec(ecx);
            a.jnz(loop);
        });
        Assert.Equal(VpExit.Halt, exit);
        Assert.Equal(500500UL, m.State->Gpr[0]);
        Assert.True(m.Vp.Instructions >= 3000);
    }

    [Fact]
    public void Fibonacci_recurses_through_the_stack()
    {
        using TestMachine m = TestMachine.Long();
        m.Run(64, a =>
        {
            Label fib = a.CreateLabel();
            Label leaf = a.CreateLabel();
            Label end = a.CreateLabel();
            a.mov(edi, 20);
            a.call(fib);
            a.jmp(end);
            a.Label(ref fib);
            a.cmp(edi, 2);
            a.jb(leaf);
            a.push(rdi);
            a.dec(edi);
            a.call(fib);
            a.pop(rdi);
            a.push(rax);
            a.sub(edi, 2);
            a.call(fib);
            a.pop(rcx);
            a.add(eax, ecx);
            a.ret();
            a.Label(ref leaf);
            a.mov(eax, edi);
            a.ret();
            a.Label(ref end);
        });
        Assert.Equal(6765UL, m.State->Gpr[0]);
        Assert.Equal(TestMachine.StackTop, m.State->Gpr[4]);
    }

    [Fact]
    public void Protected_mode_uses_segments_and_32_bit_stack()
    {
        using TestMachine m = TestMachine.Protected();
        m.Run(32, a =>
        {
            Label function = a.CreateLabel();
            Label end = a.CreateLabel();
            a.push(7);
            a.push(6);
            a.call(function);
            a.jmp(end);
            a.Label(ref function);
            a.enter(16, 0);
            a.mov(eax, __dword_ptr[ebp + 8]);
            a.imul(eax, __dword_ptr[ebp + 12]);
            a.mov(__dword_ptr[(uint)TestMachine.Data], eax);
            a.leave();
            a.ret(8);
            a.Label(ref end);
            a.pushad();
            a.mov(ecx, 5);
            a.popad();
        });
        Assert.Equal(42u, m.Read<uint>(TestMachine.Data));
        Assert.Equal(42UL, m.State->Gpr[0]);
        Assert.Equal(TestMachine.StackTop, m.State->Gpr[4]);
    }

    [Fact]
    public void Real_mode_wraps_and_scales_segments()
    {
        using TestMachine m = TestMachine.Real();
        VpState.Seg(m.State, Segment.Ds)->Base = 0x2_0000;
        m.Run(16, a =>
        {
            Label loop = a.CreateLabel();
            a.mov(cx, 10);
            a.mov(bx, 0x100);
            a.xor(ax, ax);
            a.Label(ref loop);
            a.add(ax, cx);
            a.mov(__word_ptr[bx + 2], ax);
            a.loop(loop);
            a.push(ax);
            a.pop(dx);
        });
        Assert.Equal(55, m.Read<ushort>(0x2_0102));
        Assert.Equal(55UL, m.State->Gpr[2] & 0xFFFF);
        Assert.Equal(0xFFF0UL, m.State->Gpr[4]);
    }

    [Fact]
    public void Flags_materialise_in_pushf_and_come_back_with_popf()
    {
        using TestMachine m = TestMachine.Long();
        m.Run(64, a =>
        {
            a.mov(al, 0x7F);
            a.add(al, 1);
            a.pushfq();
            a.pop(rbx);
            a.push(0xCD7);
            a.popfq();
            a.pushfq();
            a.pop(rdx);
            a.xor(eax, eax);
            a.pushfq();
            a.pop(rsi);
        });
        Assert.Equal(Flags.OF | Flags.SF | Flags.AF | 2, m.State->Gpr[3]);
        Assert.Equal(0xCD7UL & ~Flags.TF & ~0x400UL, m.State->Gpr[2] & ~0x400UL & ~Flags.TF);
        Assert.Equal(Flags.ZF | Flags.PF | 2, m.State->Gpr[6] & Flags.Arithmetic | 2);
    }

    [Fact]
    public void Rep_movs_copies_across_pages_and_replicates_on_overlap()
    {
        using TestMachine m = TestMachine.Long();
        byte[] content = new byte[20000];
        new Random(1).NextBytes(content);
        m.Memory.TryWrite(TestMachine.Data + 5, content);
        m.Memory.TryWrite(TestMachine.Data + 0x1_0000, 0x11223344AABBCCDDUL);
        m.Run(64, a =>
        {
            a.cld();
            a.mov(rsi, TestMachine.Data + 5);
            a.mov(rdi, TestMachine.Data + 0x2_0003);
            a.mov(ecx, 20000);
            a.rep.movsb();
            a.mov(rsi, TestMachine.Data + 0x1_0000);
            a.mov(rdi, TestMachine.Data + 0x1_0008);
            a.mov(ecx, 1023);
            a.rep.movsq();
            a.mov(rax, rdi);
        });
        byte[] copy = new byte[20000];
        m.Memory.TryRead(TestMachine.Data + 0x2_0003, copy);
        Assert.Equal(content, copy);
        Assert.Equal(0x11223344AABBCCDDUL, m.Read<ulong>(TestMachine.Data + 0x1_1FF8));
        Assert.Equal(TestMachine.Data + 0x1_2000, m.State->Gpr[0]);
        Assert.Equal(0UL, m.State->Gpr[1]);
    }

    [Fact]
    public void Backward_movs_moves_overlapping_memory_up()
    {
        using TestMachine m = TestMachine.Long();
        byte[] content = new byte[9000];
        new Random(2).NextBytes(content);
        m.Memory.TryWrite(TestMachine.Data, content);
        m.Run(64, a =>
        {
            a.std();
            a.mov(rsi, TestMachine.Data + 8999);
            a.mov(rdi, TestMachine.Data + 8999 + 100);
            a.mov(ecx, 9000);
            a.rep.movsb();
            a.cld();
        });
        byte[] copy = new byte[9000];
        m.Memory.TryRead(TestMachine.Data + 100, copy);
        Assert.Equal(content, copy);
        Assert.Equal(TestMachine.Data - 1, m.State->Gpr[6]);
    }

    [Fact]
    public void Scans_and_compares_stop_where_hardware_does()
    {
        using TestMachine m = TestMachine.Long();
        byte[] content = new byte[10000];
        Array.Fill(content, (byte)7);
        content[7000] = 9;
        m.Memory.TryWrite(TestMachine.Data, content);
        content[6000] = 1;
        m.Memory.TryWrite(TestMachine.Data + 0x1_0000, content);
        m.Run(64, a =>
        {
            a.cld();
            a.mov(rdi, TestMachine.Data);
            a.mov(ecx, 10000);
            a.mov(al, 9);
            a.repne.scasb();
            a.mov(rbx, rcx);
            a.setz(dl);
            a.mov(rsi, TestMachine.Data);
            a.mov(rdi, TestMachine.Data + 0x1_0000);
            a.mov(ecx, 10000);
            a.repe.cmpsb();
            a.seta(dh);
        });
        Assert.Equal(10000UL - 7001, m.State->Gpr[3]);
        Assert.Equal(10000UL - 6001, m.State->Gpr[1]);
        Assert.Equal(0x0101UL, m.State->Gpr[2] & 0xFFFF);
    }

    [Fact]
    public void Store_to_the_next_instruction_takes_effect()
    {
        using TestMachine m = TestMachine.Long();
        m.Run(64, a =>
        {
            Label patched = a.CreateLabel();
            a.lea(rdi, __[patched]);
            a.mov(__byte_ptr[rdi + 1], 42);
            a.Label(ref patched);
            a.mov(al, 1);
            a.movzx(eax, al);
        });
        Assert.Equal(42UL, m.State->Gpr[0]);
    }

    [Fact]
    public void Code_rewritten_between_runs_is_decoded_again()
    {
        using TestMachine m = TestMachine.Long();
        for (uint i = 1; i < 5; i++)
        {
            m.State->Rip = TestMachine.Code;
            m.Run(64, a => a.mov(eax, i));
            Assert.Equal(i, (uint)m.State->Gpr[0]);
        }
    }

    [Fact]
    public void Instruction_across_a_page_border_runs()
    {
        using TestMachine m = TestMachine.Long();
        m.State->Rip = TestMachine.Code + 0xFFC;
        m.Run(64, a =>
        {
            a.mov(rax, 0x1122334455667788UL);
            a.inc(rax);
        });
        Assert.Equal(0x1122334455667789UL, m.State->Gpr[0]);
    }

    [Fact]
    public void Cmpxchg16b_exchanges_or_loads()
    {
        using TestMachine m = TestMachine.Long();
        m.Memory.TryWrite(TestMachine.Data, 1UL);
        m.Memory.TryWrite(TestMachine.Data + 8, 2UL);
        m.Run(64, a =>
        {
            a.mov(r8, TestMachine.Data);
            a.mov(eax, 1);
            a.mov(edx, 2);
            a.mov(ebx, 3);
            a.mov(ecx, 4);
            a.@lock.cmpxchg16b(__xmmword_ptr[r8]);
            a.sete(sil);
            a.@lock.cmpxchg16b(__xmmword_ptr[r8]);
            a.sete(dil);
        });
        Assert.Equal(3UL, m.Read<ulong>(TestMachine.Data));
        Assert.Equal(4UL, m.Read<ulong>(TestMachine.Data + 8));
        Assert.Equal(3UL, m.State->Gpr[0]);
        Assert.Equal(4UL, m.State->Gpr[2]);
        Assert.Equal(1UL, m.State->Gpr[6] & 0xFF);
        Assert.Equal(0UL, m.State->Gpr[7] & 0xFF);
    }

    [Fact]
    public void Locked_add_and_bit_test_change_memory()
    {
        using TestMachine m = TestMachine.Long();
        m.Run(64, a =>
        {
            a.mov(rdi, TestMachine.Data);
            a.mov(ecx, 100);
            a.@lock.bts(__dword_ptr[rdi], ecx);
            a.setc(al);
            a.@lock.bts(__dword_ptr[rdi], ecx);
            a.setc(ah);
            a.mov(edx, 5);
            a.@lock.xadd(__qword_ptr[rdi + 32], rdx);
            a.@lock.add(__qword_ptr[rdi + 32], 6);
            a.@lock.dec(__dword_ptr[rdi + 40]);
        });
        Assert.Equal(1u << 4, m.Read<uint>(TestMachine.Data + 12));
        Assert.Equal(0x100UL, m.State->Gpr[0] & 0xFFFF);
        Assert.Equal(11UL, m.Read<ulong>(TestMachine.Data + 32));
        Assert.Equal(uint.MaxValue, m.Read<uint>(TestMachine.Data + 40));
    }

    [Fact]
    public void Stop_from_another_thread_ends_an_endless_loop()
    {
        using TestMachine m = TestMachine.Long();
        using var timer = new Timer(_ => m.Vp.Kick(VpEvents.Stop), null, 20, Timeout.Infinite);
        VpExit exit = m.Run(64, a =>
        {
            Label loop = a.CreateLabel();
            a.Label(ref loop);
            a.jmp(loop);
        });
        Assert.Equal(VpExit.Event, exit);
        Assert.Equal(TestMachine.Code, m.State->Rip);
    }

    [Fact]
    public void Handler_table_is_large_enough_and_has_the_group_order_of_iced()
    {
        Assert.True(Enum.GetValues<Code>().Length < HandlerTable.Capacity);
        Assert.Equal(Code.Cmp_rm64_imm8, Code.Add_rm64_imm8 + 21);
        Assert.Equal(Code.Cmp_rm8_imm8_82, Code.Add_rm8_imm8_82 + 7);
        Assert.Equal(Code.Cmp_RAX_imm32, Code.Cmp_rm8_r8 + 11);
        Assert.Equal(Code.Sar_rm64_CL, Code.Rol_rm16_CL + 23);
        Assert.Equal(Code.Jg_rel32_64, Code.Jo_rel16 + 47);
        Assert.Equal(Code.Cmovg_r64_rm64, Code.Cmovo_r16_rm16 + 47);
        Assert.Equal(Code.Setg_rm8, Code.Seto_rm8 + 15);
    }
}

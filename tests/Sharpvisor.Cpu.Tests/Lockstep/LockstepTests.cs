// Lockstep on small programs: that it goes through what both engines do alike, and finds what one of them does wrong. The wrong
// instruction is planted in the interpreter's table: the follower's, for translated code does not use it.
using Iced.Intel;
using Sharpvisor.Core;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Lockstep;
using Sharpvisor.Cpu.Tests.Differential;
using Sharpvisor.Cpu.Tests.Interpreter;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Sharpvisor.Cpu.Tests.Lockstep;

[Collection(nameof(DifferentialCollection))]
public sealed unsafe class LockstepTests
{
    [Fact]
    public void Time_random_numbers_ports_and_strings_are_the_same_for_both()
    {
        using var machine = new LockstepMachine();

        Assert.Equal(VpExit.Halt, machine.Run(a =>
        {
            Label loop = a.CreateLabel();
            a.mov(rbx, TestMachine.Data);
            a.mov(ebp, 500);
            a.Label(ref loop);
            a.rdtsc();
            a.add(__qword_ptr[rbx], rax);
            a.rdrand(rdx);
            a.xor(__qword_ptr[rbx + 8], rdx);
            a.@in(eax, 0x60);
            a.mov(__dword_ptr[rbx + rbp * 4 + 64], eax);
            a.mov(ecx, 100);
            a.mov(rsi, rbx);
            a.lea(rdi, __[rbx + 0xFF0]);
            a.rep.movsd();
            a.dec(ebp);
            a.jne(loop);
        }));

        Assert.True(machine.Engine.Comparisons > 1000);
        Assert.Equal(2 * 500, machine.Intercepts);
    }

    [Fact]
    public void Code_that_modifies_itself_is_followed()
    {
        using var machine = new LockstepMachine();

        Assert.Equal(VpExit.Halt, machine.Run(SelfPatchingProgram.Assemble));

        Assert.Equal(SelfPatchingProgram.Sum, machine.Engine.State->Gpr[3]);
    }

    [Fact]
    public void A_wrong_register_is_found_in_the_block_that_made_it()
    {
        HandlerTable table = HandlerTable.Instance;
        var register = table.Find(Code.Adc_rm32_r32, OpFlags.None);
        var memory = table.Find(Code.Adc_rm32_r32, OpFlags.Memory);
        var flat = table.Find(Code.Adc_rm32_r32, OpFlags.Memory | OpFlags.Flat);
        table.Add(Code.Adc_rm32_r32, table.Find(Code.Add_rm32_r32, OpFlags.None), memory, flat);
        try
        {
            string report = Difference(a => a.adc(eax, ebx));

            Assert.Contains("registers differ", report, StringComparison.Ordinal);
            Assert.Contains("adc eax,ebx", report, StringComparison.Ordinal);
            Assert.Contains("* rax      0000000000000004  0000000000000003", report, StringComparison.Ordinal);
            Assert.Contains("  rbx      0000000000000002  0000000000000002", report, StringComparison.Ordinal);
        }
        finally
        {
            table.Add(Code.Adc_rm32_r32, register, memory, flat);
        }
    }

    [Fact]
    public void A_wrong_store_is_found_at_the_next_comparison_of_memory()
    {
        HandlerTable table = HandlerTable.Instance;
        var register = table.Find(Code.Mov_rm32_imm32, OpFlags.None);
        var memory = table.Find(Code.Mov_rm32_imm32, OpFlags.Memory);
        var flat = table.Find(Code.Mov_rm32_imm32, OpFlags.Memory | OpFlags.Flat);
        var nop = table.Find(Code.Nopd, OpFlags.None);
        table.Add(Code.Mov_rm32_imm32, register, nop, nop);
        try
        {
            // The first store opens the page to translated code; a store that is refused goes to the interpreter's table.
            string report = Difference(a =>
            {
                a.mov(__dword_ptr[rdi + 0x80], ebx);
                a.mov(__dword_ptr[rdi + 0x20], 0x1234);
            });

            Assert.Contains("memory differs at physical 200020: leader 0000000000001234, follower 0000000000000000", report, StringComparison.Ordinal);
        }
        finally
        {
            table.Add(Code.Mov_rm32_imm32, register, memory, flat);
        }
    }

    /// <summary>The report about a loop around <paramref name="instruction"/>, with carry set, EAX = 1, EBX = 2, RDI = Data.</summary>
    private static string Difference(Action<Assembler> instruction)
    {
        using var machine = new LockstepMachine();
        LockstepException found = Assert.Throws<LockstepException>(() => machine.Run(a =>
        {
            Label loop = a.CreateLabel();
            a.mov(ecx, 1000);
            a.mov(rdi, TestMachine.Data);
            a.Label(ref loop);
            a.mov(eax, 1);
            a.mov(ebx, 2);
            a.stc();
            instruction(a);
            a.dec(ecx);
            a.jne(loop);
        }));
        return found.Message;
    }

    private sealed class LockstepMachine : IDisposable
    {
        private readonly TestMachine _machine = TestMachine.Long();

        public LockstepMachine()
        {
            var counter = new CountingIntercepts();
            Counter = counter;
            Engine = (LockstepEngine)new LockstepEngineFactory(threshold: 1).Create(0, _machine.Memory, counter);
            StateComparison.Copy(_machine.State, Engine.State);
        }

        public LockstepEngine Engine { get; }

        /// <summary>Times the guest read the clock or a port; what the follower does must not count.</summary>
        public long Intercepts => Counter.Count;

        private CountingIntercepts Counter { get; }

        public VpExit Run(Action<Assembler> program)
        {
            var assembler = new Assembler(64);
            program(assembler);
            assembler.hlt();
            _machine.Memory.TryWrite(TestMachine.Code, TestMachine.Assemble(assembler, TestMachine.Code));
            return Engine.Run();
        }

        public void Dispose()
        {
            Engine.Dispose();
            _machine.Dispose();
        }
    }

    private sealed class CountingIntercepts : IVpIntercepts
    {
        public long Count { get; private set; }

        public byte Cr8 { get; set; }

        public uint ReadPort(ushort port, int bytes) => (uint)(++Count * 77);

        public void WritePort(ushort port, int bytes, uint value) => Count++;

        public int ReadPortString(ushort port, int bytes, Span<byte> destination) => 0;

        public int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source) => 0;

        public ulong ReadMmio(ulong gpa, int bytes) => (ulong)++Count;

        public void WriteMmio(ulong gpa, int bytes, ulong value) => Count++;

        public bool TryReadMsr(uint msr, out ulong value)
        {
            value = 0;
            return false;
        }

        public bool TryWriteMsr(uint msr, ulong value) => false;

        public CpuidResult Cpuid(uint leaf, uint subleaf) => default;

        public bool Hypercall() => false;

        public ulong ReadTsc() => (ulong)++Count * 1_000_003;

        public int AcknowledgeInterrupt() => -1;
    }
}

// A bare machine for hand-assembled programs: memory, one VP, no devices. HLT ends a program.
using Iced.Intel;
using Sharpvisor.Core;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Translator;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Interpreter;

internal sealed unsafe class TestMachine : IVpIntercepts, IDisposable
{
    public const ulong Code = 0x10_0000;
    public const ulong Data = 0x20_0000;
    public const ulong StackTop = 0x30_0000;
    private const ulong Pml4 = 0x1000;

    private readonly bool _ownsMemory;

    /// <param name="memory">Another machine's, for a second VP; null: its own.</param>
    public TestMachine(BlockTranslator? translator = null, GuestMemory? memory = null)
    {
        _ownsMemory = memory == null;
        Memory = memory ?? new GuestMemory(16 << 20);
        Vp = new Vp(0, Memory, this, translator);
    }

    public GuestMemory Memory { get; }

    public Vp Vp { get; }

    public VpState* State => Vp.State;

    public byte Cr8 { get; set; }

    public Queue<int> Vectors { get; } = new();

    /// <summary>64-bit mode at CPL 0 with the first 1 GiB mapped to itself by 2 MiB pages.</summary>
    public static TestMachine Long(BlockTranslator? translator = null, GuestMemory? memory = null)
    {
        var machine = new TestMachine(translator, memory);
        machine.Memory.TryWrite(Pml4, 0x2003UL);
        machine.Memory.TryWrite(0x2000, 0x3003UL);
        for (ulong i = 0; i < 512; i++)
        {
            machine.Memory.TryWrite(0x3000 + (8 * i), (i << 21) | 0x83);
        }

        VpState* s = machine.State;
        s->Cr0 = 0x8005_0033;
        s->Cr3 = Pml4;
        s->Cr4 = 0x20;
        s->Efer = 0xD01;
        machine.Flat(code: 0xA9B, data: 0xC93);
        return machine;
    }

    /// <summary>Flat 32-bit protected mode without paging.</summary>
    public static TestMachine Protected()
    {
        var machine = new TestMachine();
        machine.State->Cr0 = 0x11;
        machine.Flat(code: 0xC9B, data: 0xC93);
        return machine;
    }

    /// <summary>Real mode with CS base at 0x10000.</summary>
    public static TestMachine Real()
    {
        var machine = new TestMachine();
        VpState* s = machine.State;
        VpState.Seg(s, Segment.Cs)->Base = 0x1_0000;
        VpState.Seg(s, Segment.Cs)->Selector = 0x1000;
        s->Rip = 0;
        s->Gpr[4] = 0xFFF0;
        return machine;
    }

    /// <summary>Assembles a program where RIP is, runs it to its HLT.</summary>
    public VpExit Run(int bits, Action<Assembler> program)
    {
        var assembler = new Assembler(bits);
        program(assembler);
        assembler.hlt();
        return RunBytes(Assemble(assembler, State->Rip));
    }

    public VpExit RunBytes(ReadOnlySpan<byte> code)
    {
        Vp.Halted = false;
        Memory.TryWrite(VpState.Seg(State, Segment.Cs)->Base + State->Rip, code);
        return Vp.Run();
    }

    public static byte[] Assemble(Assembler assembler, ulong rip)
    {
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), rip);
        return stream.ToArray();
    }

    public T Read<T>(ulong gpa)
        where T : unmanaged
    {
        Assert.True(Memory.TryRead(gpa, out T value));
        return value;
    }

    public void Dispose()
    {
        Vp.Dispose();
        if (_ownsMemory)
        {
            Memory.Dispose();
        }
    }

    public uint ReadPort(ushort port, int bytes) => uint.MaxValue;

    public void WritePort(ushort port, int bytes, uint value) => Vp.Kick(VpEvents.Stop);

    public int ReadPortString(ushort port, int bytes, Span<byte> destination) => 0;

    public int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source) => 0;

    public ulong ReadMmio(ulong gpa, int bytes) => ulong.MaxValue;

    public void WriteMmio(ulong gpa, int bytes, ulong value)
    {
    }

    public bool TryReadMsr(uint msr, out ulong value)
    {
        value = 0;
        return false;
    }

    public bool TryWriteMsr(uint msr, ulong value) => false;

    public CpuidResult Cpuid(uint leaf, uint subleaf) => Vp.Cpuid(leaf, subleaf);

    public bool Hypercall() => false;

    public ulong ReadTsc() => 0;

    public int AcknowledgeInterrupt() => Vectors.TryDequeue(out int vector) ? vector : -1;

    private void Flat(ushort code, ushort data)
    {
        VpState* s = State;
        for (Segment segment = Segment.Es; segment <= Segment.Gs; segment++)
        {
            *VpState.Seg(s, segment) = new SegmentRegister { Limit = uint.MaxValue, Selector = 0x10, Attributes = data };
        }

        *VpState.Seg(s, Segment.Cs) = new SegmentRegister { Limit = uint.MaxValue, Selector = 8, Attributes = code };

        s->Rip = Code;
        s->Gpr[4] = StackTop;
        Vp.ModeChanged();
        Vp.Mmu.UpdateContext();
        Vp.Mmu.FlushAll();
    }
}

// A partition with fake engines and fake time; the test plays the guest by calling the intercepts of its VPs.
using System.Buffers.Binary;
using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Hypervisor.Tests;

internal sealed unsafe class TestMachine : IInterceptHandler, IDisposable
{
    public const ulong Fast = 1 << 16;
    public const ulong SimpGpa = 0x20000;
    public const ulong SiefGpa = 0x21000;
    private readonly FakeEngineFactory _factory = new();

    public TestMachine(int processors = 1, bool hyperV = true, bool realTime = false)
    {
        Memory = new GuestMemory(4 << 20);
        Partition = new Partition(
            Memory,
            _factory,
            new PartitionOptions { ProcessorCount = processors, HyperVInterface = hyperV },
            this,
            Statistics,
            null,
            realTime ? null : Timers);
    }

    public GuestMemory Memory { get; }

    public Partition Partition { get; }

    public FakeTimers Timers { get; } = new();

    public Statistics Statistics { get; } = new();

    public List<string> Accesses { get; } = [];

    public FakeEngine Engine(int vp = 0) => _factory.Engines[vp];

    public IVpIntercepts Vp(int vp = 0) => Partition.Processors[vp];

    public uint Apic(uint register, int vp = 0) => (uint)Vp(vp).ReadMmio(0xFEE0_0000 + register, 4);

    public void SetApic(uint register, uint value, int vp = 0) => Vp(vp).WriteMmio(0xFEE0_0000 + register, 4, value);

    public ulong Msr(uint msr, int vp = 0)
    {
        Assert.True(Vp(vp).TryReadMsr(msr, out ulong value), $"#GP reading {msr:x}");
        return value;
    }

    public void SetMsr(uint msr, ulong value, int vp = 0) =>
        Assert.True(Vp(vp).TryWriteMsr(msr, value), $"#GP writing {msr:x}");

    /// <summary>Software-enables every local APIC.</summary>
    public TestMachine EnableApics()
    {
        for (int i = 0; i < Partition.Processors.Count; i++)
        {
            SetApic(0xF0, 0x1FF, i);
        }

        return this;
    }

    public TestMachine EnableX2(int vp = 0)
    {
        SetMsr(0x1B, Msr(0x1B, vp) | (1 << 10), vp);
        return this;
    }

    /// <summary>Enables SynIC with its two pages and unmasks a SINT.</summary>
    public TestMachine EnableSynic(int sint = 2, ulong config = 0x50, int vp = 0)
    {
        SetMsr(0x4000_0080, 1, vp);
        SetMsr(0x4000_0082, SiefGpa | 1, vp);
        SetMsr(0x4000_0083, SimpGpa | 1, vp);
        SetMsr(0x4000_0090 + (uint)sint, config, vp);
        return this;
    }

    public uint Slot(int sint, int dword)
    {
        Assert.True(Memory.TryRead(SimpGpa + (ulong)(sint * 256) + (ulong)(dword * 4), out uint value));
        return value;
    }

    /// <summary>What the guest's interrupt handler does: empty the slot, then EOM if asked to. Returns whether it was asked.</summary>
    public bool EmptySlot(int sint, int vp = 0)
    {
        Memory.TryWrite(SimpGpa + (ulong)(sint * 256), 0u);
        bool pending = (Slot(sint, 1) & 0x100) != 0;
        if (pending)
        {
            SetMsr(0x4000_0084, 0, vp);
        }

        return pending;
    }

    public int Acknowledge(int vp = 0) => Vp(vp).AcknowledgeInterrupt();

    /// <summary>Introduces the guest and puts the VP in 64-bit kernel mode.</summary>
    public TestMachine EnterKernel(int vp = 0)
    {
        SetMsr(0x4000_0000, 0x8100_0000_0000_0000, vp);
        VpRegisters registers = Partition.Processors[vp].Registers;
        registers.State.Cr0 = 0x8000_0001;
        registers.State.Efer = 0x500;
        registers.Segment(Segment.Cs).Attributes = 0x29B;
        return this;
    }

    /// <summary>A 64-bit hypercall; returns RAX.</summary>
    public ulong Hypercall(ulong control, ulong input1, ulong input2 = 0, int vp = 0)
    {
        VpRegisters registers = Partition.Processors[vp].Registers;
        registers[Gpr.Rcx] = control;
        registers[Gpr.Rdx] = input1;
        registers[Gpr.R8] = input2;
        Assert.True(Vp(vp).Hypercall());
        return registers[Gpr.Rax];
    }

    public void WriteQwords(ulong gpa, params ulong[] values)
    {
        Span<byte> bytes = stackalloc byte[8];
        foreach (ulong value in values)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
            Assert.True(Memory.TryWrite(gpa, bytes));
            gpa += 8;
        }
    }

    public void SetXmm(int vp, int index, ulong low, ulong high)
    {
        ulong* vector = (ulong*)(Engine(vp).State->Vector + (index * 32));
        vector[0] = low;
        vector[1] = high;
    }

    public uint ReadPort(ushort port, int bytes) => 0xFF;

    public void WritePort(ushort port, int bytes, uint value) => Accesses.Add($"out {port:x} {value:x}");

    public int ReadPortString(ushort port, int bytes, Span<byte> destination) => 0;

    public int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source) => 0;

    public ulong ReadMmio(ulong gpa, int bytes) => ulong.MaxValue;

    public void WriteMmio(ulong gpa, int bytes, ulong value) => Accesses.Add($"write {gpa:x} {value:x}");

    public void Dispose()
    {
        Partition.Dispose();
        Memory.Dispose();
    }
}

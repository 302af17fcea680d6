// A VP with a little memory, no devices, and builders for its page tables and descriptors.
using Sharpvisor.Core;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Architecture;

internal sealed unsafe class Machine : IDisposable
{
    public const ulong Gdt = 0x1000;
    public const ulong Idt = 0x2000;
    public const ulong Tss = 0x3000;
    public const ulong Tables = 0x10000;
    public const ulong Code = 0x40000;
    public const ulong Stack = 0x60000;

    public Machine()
    {
        Memory = new GuestMemory(16 << 20);
        Intercepts = new RecordingIntercepts();
        Vp = new Vp(0, Memory, Intercepts);
        Intercepts.Engine = Vp;
        S = Vp.State;
    }

    public GuestMemory Memory { get; }

    public RecordingIntercepts Intercepts { get; }

    public Vp Vp { get; }

    public VpState* S { get; }

    public PendingFault Fault => EngineBlock.Of(S)->Fault;

    /// <summary>Forgets a recorded fault; its error code.</summary>
    public uint TakeError(byte vector)
    {
        PendingFault fault = Fault;
        EngineBlock.Of(S)->Fault = default;
        Assert.Equal(1, fault.Pending);
        Assert.Equal(vector, fault.Vector);
        return fault.ErrorCode;
    }

    public void Write<T>(ulong gpa, T value)
        where T : unmanaged => Assert.True(Memory.TryWrite(gpa, value));

    public T Read<T>(ulong gpa)
        where T : unmanaged
    {
        Assert.True(Memory.TryRead(gpa, out T value));
        return value;
    }

    /// <summary>Protected mode without paging, flat 32-bit segments, CPL 0.</summary>
    public void Protected()
    {
        S->Cr0 = 0x11;
        S->Cpl = 0;
        Flat(Segment.Cs, 0x08, 0xC9B);
        foreach (Segment segment in new[] { Segment.Es, Segment.Ss, Segment.Ds, Segment.Fs, Segment.Gs })
        {
            Flat(segment, 0x10, 0xC93);
        }

        Write(Gdt + 0x08, 0x00CF_9B00_0000_FFFFUL);
        Write(Gdt + 0x10, 0x00CF_9300_0000_FFFFUL);
        Write(Gdt + 0x18, 0x00CF_FB00_0000_FFFFUL);
        Write(Gdt + 0x20, 0x00CF_F300_0000_FFFFUL);
        Write(Gdt + 0x28, 0x00AF_9B00_0000_FFFFUL);
        Write(Gdt + 0x30, 0x00AF_FB00_0000_FFFFUL);
        S->Gdtr = new DescriptorTableRegister { Base = Gdt, Limit = 0xFF };
        S->Idtr = new DescriptorTableRegister { Base = Idt, Limit = 0xFFF };
        *VpState.Seg(S, Segment.Tr) = new SegmentRegister { Base = Tss, Limit = 0x67, Selector = 0x40, Attributes = 0x8B };
        S->Gpr[4] = Stack;
        Changed();
    }

    /// <summary>64-bit mode, the first 2 MiB mapped 1:1 by 4 KiB user pages (PML4 at <see cref="Tables"/>, PTs at +0x3000).</summary>
    public void Long()
    {
        Protected();
        Write(Tables, Tables + 0x1007);
        Write(Tables + 0x1000, Tables + 0x2007);
        Write(Tables + 0x2000, Tables + 0x3007);
        for (ulong i = 0; i < 512; i++)
        {
            Write(Tables + 0x3000 + (i * 8), (i << 12) | 7);
        }

        S->Cr3 = Tables;
        S->Cr4 = Cr4.PAE;
        S->Efer = Efer.LME | Efer.LMA | Efer.NXE | Efer.SCE;
        S->Cr0 = Cr0.PE | Cr0.PG | Cr0.WP | Cr0.ET;
        Flat(Segment.Cs, 0x28, 0xA9B);
        Changed();
    }

    public static ulong Pte(ulong linear) => Tables + 0x3000 + ((linear >> 12) * 8);

    public void User()
    {
        S->Cpl = 3;
        Flat(Segment.Cs, 0x33, 0xAFB);
        Flat(Segment.Ss, 0x23, 0xCF3);
        Changed();
    }

    public void Gate64(byte vector, ulong target, int type = 14, int dpl = 0, int ist = 0)
    {
        ulong low = (target & 0xFFFF) | (0x28UL << 16) | ((ulong)ist << 32) | ((ulong)(0x80 | (dpl << 5) | type) << 40)
            | ((target >> 16 & 0xFFFF) << 48);
        Write(Idt + (vector * 16UL), low);
        Write(Idt + (vector * 16UL) + 8, target >> 32);
    }

    public void Gate32(byte vector, uint target, int type = 14, int dpl = 0)
        => Write(Idt + (vector * 8UL), (target & 0xFFFFUL) | (0x08UL << 16) | ((ulong)(0x80 | (dpl << 5) | type) << 40)
            | ((ulong)(target >> 16) << 48));

    public void Changed()
    {
        Vp.Mmu.FlushAll();
        Vp.Mmu.UpdateContext();
        Vp.ModeChanged();
    }

    public bool Load(ulong linear, out ulong value) => GuestAccess.Load(S, linear, out value);

    public bool Store(ulong linear, ulong value) => GuestAccess.Store(S, linear, value);

    /// <summary>Runs code at <see cref="Code"/> till HLT or shutdown.</summary>
    public VpExit Run(params byte[] code)
    {
        Assert.True(Memory.TryWrite(Code, code));
        S->Rip = Code;
        return Vp.Run();
    }

    public void Dispose()
    {
        Vp.Dispose();
        Memory.Dispose();
    }

    private void Flat(Segment segment, ushort selector, ushort attributes)
        => *VpState.Seg(S, segment) = new SegmentRegister { Limit = uint.MaxValue, Selector = selector, Attributes = attributes };
}

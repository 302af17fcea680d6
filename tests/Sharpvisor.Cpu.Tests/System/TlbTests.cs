// When cached translations go: Intel SDM Vol. 3A, 4.10; and the engine's own reasons, code tracking and layout changes.
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Architecture;

public sealed unsafe class TlbTests : IDisposable
{
    private const ulong Page = 0x5000;
    private readonly Machine _m = new();

    public TlbTests()
    {
        _m.Long();
        _m.Write(0x5000, 5UL);
        _m.Write(0x9000, 9UL);
    }

    public void Dispose() => _m.Dispose();

    [Fact]
    public void INVLPG_drops_one_page()
    {
        Assert.Equal(5UL, Get(Page));
        _m.Write(Machine.Pte(Page), 0x9007UL);
        _m.Vp.Mmu.InvalidatePage(Page + 0x123);
        Assert.Equal(9UL, Get(Page));
    }

    [Fact]
    public void INVLPG_drops_all_of_a_large_page()
    {
        _m.Write(Machine.Tables + 0x2008, 0x83UL);
        Assert.Equal(5UL, Get(0x20_5000));
        Assert.Equal(9UL, Get(0x20_9000));
        _m.Write(Machine.Tables + 0x2008, 0x20_0083UL);
        _m.Vp.Mmu.InvalidatePage(0x20_0000);
        Assert.Equal(0UL, Get(0x20_5000));
        Assert.Equal(0UL, Get(0x20_9000));
    }

    [Fact]
    public void A_CR3_load_keeps_global_pages_only()
    {
        _m.S->Cr4 |= Cr4.PGE;
        _m.Changed();
        _m.Write(Machine.Pte(Page), 0x5107UL);
        Assert.Equal(5UL, Get(Page));
        Assert.Equal(9UL, Get(0x9000));
        _m.Write(Machine.Pte(Page), 0xA007UL);
        _m.Write(Machine.Pte(0x9000), 0xA007UL);
        _m.Vp.Mmu.FlushNonGlobal();
        Assert.Equal(5UL, Get(Page));
        Assert.Equal(0UL, Get(0x9000));
        _m.Vp.Mmu.FlushAll();
        Assert.Equal(0UL, Get(Page));
    }

    [Fact]
    public void User_and_supervisor_translations_are_apart()
    {
        _m.Write(Machine.Pte(Page), 0x5003UL);
        Assert.Equal(5UL, Get(Page));
        _m.User();
        Assert.False(_m.Load(Page, out _));
    }

    [Fact]
    public void Writes_to_a_page_with_code_are_announced_even_when_cached_before()
    {
        Assert.True(_m.Store(Page, 1));
        uint generation = _m.Memory.TrackCode(Page >> 12);
        _m.Vp.Mmu.DropWrites(Page >> 12);
        Assert.True(_m.Store(Page, 2));
        Assert.NotEqual(generation, _m.Memory.CodeGeneration(Page >> 12));
        generation = _m.Memory.CodeGeneration(Page >> 12);
        Assert.True(_m.Store(Page + 8, 3));
        Assert.NotEqual(generation, _m.Memory.CodeGeneration(Page >> 12));
        Assert.Equal(2UL, _m.Read<ulong>(Page));
    }

    [Fact]
    public void Atomic_gives_a_pointer_into_memory_and_null_without_fault_for_MMIO()
    {
        ulong* pointer = GuestAccess.Atomic<ulong>(_m.S, Page, out bool faulted);
        Assert.False(faulted);
        Assert.Equal(5UL, *pointer);
        _m.Write(Machine.Pte(Page), 0xFEE0_0007UL);
        _m.Vp.Mmu.InvalidatePage(Page);
        Assert.True(GuestAccess.Atomic<ulong>(_m.S, Page, out faulted) == null);
        Assert.False(faulted);
        _m.Write(Machine.Pte(Page), 0UL);
        Assert.True(GuestAccess.Atomic<ulong>(_m.S, Page, out faulted) == null);
        Assert.True(faulted);
    }

    [Fact]
    public void Runs_end_with_the_page_and_never_raise()
    {
        byte* host = GuestAccess.WriteRun(_m.S, Page + 0xF00, out int bytes);
        Assert.True(host != null);
        Assert.Equal(0x100, bytes);
        _m.Write(Machine.Pte(0x6000), 0UL);
        Assert.True(GuestAccess.ReadRun(_m.S, 0x6000, out bytes) == null);
        Assert.Equal(0, bytes);
        Assert.Equal(0, _m.Fault.Pending);
    }

    private ulong Get(ulong linear)
    {
        Assert.True(_m.Load(linear, out ulong value));
        return value;
    }
}

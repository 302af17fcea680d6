// Every paging mode, accessed and dirty bits, and the page fault error codes: Intel SDM Vol. 3A, chapter 4.
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Architecture;

public sealed unsafe class PageWalkTests : IDisposable
{
    private const ulong Page = 0x5000;
    private readonly Machine _m = new();

    public void Dispose() => _m.Dispose();

    [Fact]
    public void Without_paging_linear_is_physical()
    {
        _m.Protected();
        _m.Write(0x8000, 0x1234UL);
        Assert.True(_m.Load(0x8000, out ulong value));
        Assert.Equal(0x1234UL, value);
    }

    [Fact]
    public void Four_level_walk_sets_accessed_on_read_and_dirty_on_write()
    {
        _m.Long();
        Assert.True(_m.Load(Page, out _));
        Assert.Equal(0x20UL, _m.Read<ulong>(Machine.Pte(Page)) & 0x60);
        Assert.True(_m.Store(Page, 7));
        Assert.Equal(0x60UL, _m.Read<ulong>(Machine.Pte(Page)) & 0x60);
        Assert.Equal(0x20UL, _m.Read<ulong>(Machine.Tables) & 0x60);
    }

    [Theory]
    [InlineData(0x0UL, false, 0u)]
    [InlineData(0x0UL, true, 2u)]
    [InlineData(0x5005UL, true, 3u)]
    [InlineData(0x0010_0000_0000_5007UL | (1UL << 45), false, 9u)]
    public void Supervisor_faults_carry_exact_codes(ulong pte, bool write, uint code)
    {
        _m.Long();
        _m.Write(Machine.Pte(Page), pte);
        Assert.False(write ? _m.Store(Page, 1) : _m.Load(Page, out _));
        Assert.Equal(Page, _m.Fault.Cr2);
        Assert.Equal(code, _m.TakeError(14));
    }

    [Theory]
    [InlineData(0x5003UL, false, 5u)]
    [InlineData(0x5003UL, true, 7u)]
    [InlineData(0x5005UL, true, 7u)]
    [InlineData(0x5006UL, true, 6u)]
    public void User_faults_carry_exact_codes(ulong pte, bool write, uint code)
    {
        _m.Long();
        _m.User();
        _m.Write(Machine.Pte(Page), pte);
        Assert.False(write ? _m.Store(Page, 1) : _m.Load(Page, out _));
        Assert.Equal(code, _m.TakeError(14));
    }

    [Fact]
    public void Supervisor_writes_to_read_only_pages_when_WP_is_clear()
    {
        _m.Long();
        _m.S->Cr0 &= ~Cr0.WP;
        _m.Changed();
        _m.Write(Machine.Pte(Page), 0x5001UL);
        Assert.True(_m.Store(Page, 1));
    }

    [Fact]
    public void NX_and_SMEP_stop_fetches_with_the_fetch_bit()
    {
        _m.Long();
        _m.Write(Machine.Pte(Page), 0x5003UL | (1UL << 63));
        Assert.False(GuestAccess.TranslateCode(_m.S, Page, out _, out _));
        Assert.Equal(0x11u, _m.TakeError(14));
        _m.Write(Machine.Pte(Page), 0x5007UL);
        Assert.True(GuestAccess.TranslateCode(_m.S, Page, out ulong gpa, out byte* host));
        Assert.Equal(Page, gpa);
        Assert.True(host != null);
        _m.S->Cr4 |= Cr4.SMEP;
        _m.Changed();
        Assert.False(GuestAccess.TranslateCode(_m.S, Page, out _, out _));
        Assert.Equal(0x11u, _m.TakeError(14));
    }

    [Fact]
    public void SMAP_closes_user_pages_unless_AC_is_set_and_always_for_implicit_accesses()
    {
        _m.Long();
        _m.S->Cr4 |= Cr4.SMAP;
        _m.Changed();
        Assert.False(_m.Load(Page, out _));
        Assert.Equal(1u, _m.TakeError(14));
        _m.S->RFlags |= RFlag.AC;
        _m.Vp.Mmu.UpdateContext();
        Assert.True(_m.Load(Page, out _));
        Assert.False(GuestAccess.LoadSystem(_m.S, Page, out ulong _));
        Assert.Equal(1u, _m.TakeError(14));
        _m.S->RFlags &= ~RFlag.AC;
        _m.Vp.Mmu.UpdateContext();
        Assert.False(_m.Load(Page, out _));
    }

    [Theory]
    [InlineData(0x83UL, true)]
    [InlineData(0x2083UL, false)]
    public void Two_MiB_pages_translate_and_check_reserved_bits(ulong low, bool valid)
    {
        _m.Long();
        _m.Write(Machine.Tables + 0x2008, 0x20_0000UL | low);
        _m.Write(0x23_4560, 99UL);
        Assert.Equal(valid, _m.Load(0x23_4560, out ulong value));
        if (valid)
        {
            Assert.Equal(99UL, value);
        }
        else
        {
            Assert.Equal(9u, _m.TakeError(14));
        }
    }

    [Fact]
    public void One_GiB_pages_translate()
    {
        _m.Long();
        _m.Write(Machine.Tables + 0x1008, 0x83UL);
        _m.Write(0x23_4560, 99UL);
        Assert.True(_m.Load(0x4023_4560, out ulong value));
        Assert.Equal(99UL, value);
    }

    [Fact]
    public void Two_level_paging_maps_small_and_large_pages()
    {
        _m.Protected();
        _m.Write(Machine.Tables, (uint)(Machine.Tables + 0x1000) | 3);
        _m.Write(Machine.Tables + 4, 0x83u);
        _m.Write(Machine.Tables + 0x1000 + (5 * 4), 0x8003u);
        _m.S->Cr3 = Machine.Tables;
        _m.S->Cr4 = Cr4.PSE;
        _m.S->Cr0 |= Cr0.PG;
        _m.Changed();
        _m.Write(0x8010, 0xABCDUL);
        Assert.True(_m.Load(0x5010, out ulong value));
        Assert.Equal(0xABCDUL, value);
        Assert.True(_m.Load(0x40_8010, out value));
        Assert.Equal(0xABCDUL, value);
        Assert.True(_m.Store(0x5010, 1));
        Assert.Equal(0x60u, _m.Read<uint>(Machine.Tables + 0x1000 + (5 * 4)) & 0x60);
    }

    [Fact]
    public void PAE_paging_maps_without_rights_in_the_pointer_table()
    {
        _m.Protected();
        _m.Write(Machine.Tables, Machine.Tables + 0x1001);
        _m.Write(Machine.Tables + 0x1000, Machine.Tables + 0x2003);
        _m.Write(Machine.Tables + 0x2000 + (5 * 8), 0x8003UL);
        _m.S->Cr3 = Machine.Tables;
        _m.S->Cr4 = Cr4.PAE;
        _m.S->Cr0 |= Cr0.PG;
        _m.Changed();
        Assert.True(_m.Store(0x5010, 77));
        Assert.Equal(77UL, _m.Read<ulong>(0x8010));
        Assert.Equal(Machine.Tables + 0x1001, _m.Read<ulong>(Machine.Tables));
    }

    [Fact]
    public void A_crossing_access_faults_before_the_first_byte_changes()
    {
        _m.Long();
        _m.Write(Machine.Pte(Page + 0x1000), 0UL);
        _m.Write(Page + 0xFF8, 0UL);
        Assert.False(_m.Store(Page + 0xFFC, ulong.MaxValue));
        Assert.Equal(Page + 0x1000, _m.Fault.Cr2);
        Assert.Equal(2u, _m.TakeError(14));
        Assert.Equal(0UL, _m.Read<ulong>(Page + 0xFF8));
    }

    [Fact]
    public void A_crossing_access_joins_two_pages_that_are_apart_in_memory()
    {
        _m.Long();
        _m.Write(Machine.Pte(Page + 0x1000), 0x9007UL);
        Assert.True(_m.Store(Page + 0xFFC, 0x1111_2222_3333_4444));
        Assert.Equal(0x3333_4444u, _m.Read<uint>(Page + 0xFFC));
        Assert.Equal(0x1111_2222u, _m.Read<uint>(0x9000));
        Assert.True(_m.Load(Page + 0xFFC, out ulong value));
        Assert.Equal(0x1111_2222_3333_4444UL, value);
    }

    [Fact]
    public void Accesses_without_memory_become_MMIO_of_at_most_eight_bytes()
    {
        _m.Protected();
        Assert.True(GuestAccess.Load(_m.S, 0xFEE0_0000, out uint value));
        Assert.Equal(0x5566_7788u, value);
        Assert.True(GuestAccess.Store(_m.S, 0xFEE0_0010, (UInt128)5));
        Assert.Equal(["read fee00000 4", "write fee00010 8 5", "write fee00018 8 0"], _m.Intercepts.Log);
    }

    [Fact]
    public void ROM_is_read_directly_and_written_as_MMIO()
    {
        _m.Memory.MapRom(0xF_0000, new byte[] { 1, 2, 3, 4, 5, 6, 7, 8 });
        _m.Protected();
        Assert.True(_m.Load(0xF_0000, out ulong value));
        Assert.Equal(0x0807_0605_0403_0201UL, value);
        Assert.True(_m.Store(0xF_0000, 0));
        Assert.Equal(["write f0000 8 0"], _m.Intercepts.Log);
        Assert.True(_m.Load(0xF_0000, out value));
        Assert.Equal(0x0807_0605_0403_0201UL, value);
    }

    [Fact]
    public void Non_canonical_addresses_are_general_protection_faults()
    {
        _m.Long();
        Assert.False(_m.Load(0x8000_0000_0000, out _));
        Assert.Equal(0u, _m.TakeError(13));
    }
}

using System.Text;
using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Hypervisor.Tests;

public sealed class CpuidTests
{
    [Fact]
    public void Hypervisor_leaves_identify_Hyper_V()
    {
        using var machine = new TestMachine();
        CpuidResult first = machine.Vp().Cpuid(0x4000_0000, 0);
        Assert.Equal(0x4000_0006u, first.Eax);
        byte[] vendor = [.. BitConverter.GetBytes(first.Ebx), .. BitConverter.GetBytes(first.Ecx), .. BitConverter.GetBytes(first.Edx)];
        Assert.Equal("Microsoft Hv", Encoding.ASCII.GetString(vendor));
        Assert.Equal("Hv#1", Encoding.ASCII.GetString(BitConverter.GetBytes(machine.Vp().Cpuid(0x4000_0001, 0).Eax)));
        Assert.NotEqual(0u, machine.Vp().Cpuid(1, 0).Ecx & (1u << 31));
    }

    [Fact]
    public void Privileges_offer_what_works_and_nothing_else()
    {
        using var machine = new TestMachine();
        CpuidResult features = machine.Vp().Cpuid(0x4000_0003, 0);

        // TLFS: all of bits 0 to 11 but statistics (8); no reenlightenment, no invariant TSC (it would demote the TSC page).
        Assert.Equal(0xEFFu, features.Eax);
        Assert.Equal(0x10_0030u, features.Ebx);
        Assert.Equal((1u << 4) | (1 << 5) | (1 << 8) | (1 << 10) | (1 << 19), features.Edx);
    }

    [Theory]
    [InlineData(1, 0u)]
    [InlineData(2, 1u)]
    [InlineData(3, 2u)]
    [InlineData(4, 2u)]
    [InlineData(8, 3u)]
    public void Topology_is_one_package_of_single_threaded_cores(int processors, uint coreBits)
    {
        using var machine = new TestMachine(processors);
        int last = processors - 1;
        CpuidResult leaf1 = machine.Vp(last).Cpuid(1, 0);
        Assert.Equal((uint)last, leaf1.Ebx >> 24);
        Assert.Equal(1u << (int)coreBits, (leaf1.Ebx >> 16) & 0xFF);
        Assert.Equal(processors > 1, (leaf1.Edx & (1 << 28)) != 0);
        Assert.Equal(new CpuidResult(0, 1, 0x100, (uint)last), machine.Vp(last).Cpuid(0xB, 0));
        Assert.Equal(new CpuidResult(coreBits, (uint)processors, 0x201, (uint)last), machine.Vp(last).Cpuid(0xB, 1));
        Assert.Equal(new CpuidResult(0, 0, 2, (uint)last), machine.Vp(last).Cpuid(0xB, 2));
        uint ids = (1u << (int)coreBits) - 1;
        Assert.Equal(ids << 26, machine.Vp(last).Cpuid(4, 0).Eax & 0xFFFF_C000);
        Assert.Equal((ids << 26) | (ids << 14), machine.Vp(last).Cpuid(4, 1).Eax & 0xFFFF_C000);
        Assert.Equal(0u, machine.Vp(last).Cpuid(4, 2).Eax);
    }

    [Fact]
    public void APIC_bit_follows_APIC_BASE()
    {
        using var machine = new TestMachine();
        Assert.NotEqual(0u, machine.Vp().Cpuid(1, 0).Edx & (1 << 9));
        machine.SetMsr(0x1B, 0xFEE0_0100);
        Assert.Equal(0u, machine.Vp().Cpuid(1, 0).Edx & (1 << 9));
    }
}

// CPUID as the guest sees it: the engine's CPU model, with the partition's topology and APIC laid over it (Intel SDM
// Vol. 2A, CPUID) and the hypervisor leaves 0x40000000 to 0x40000006 (TLFS "Feature and Interface Discovery").
using System.Numerics;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed class Cpuid
{
    private const uint HypervisorFirst = 0x4000_0000;
    private const uint HypervisorLast = 0x4000_0006;
    private const uint TopologyLeaf = 0xB;
    private const uint ApicFeature = 1 << 9;
    private const uint HttFeature = 1 << 28;
    private const uint X2ApicFeature = 1 << 21;
    private const uint TscDeadlineFeature = 1 << 24;
    private const uint HypervisorFeature = 1u << 31;

    /// <summary>
    /// HV_PARTITION_PRIVILEGE_MASK, low half: VP runtime, reference counter, SynIC, synthetic timers, APIC MSRs, hypercall
    /// MSRs, VP index, reset MSR, reference TSC, guest idle, frequency MSRs.
    /// </summary>
    public const uint Privileges = 0b1110_1111_1111;

    /// <summary>High half: PostMessages, SignalEvents and EnableExtendedHypercalls.</summary>
    public const uint PrivilegesHigh = (1 << 4) | (1 << 5) | (1 << 20);

    /// <summary>XMM fast input, guest idle state, frequency MSRs, crash MSRs.</summary>
    public const uint Features = (1 << 4) | (1 << 5) | (1 << 8) | (1 << 10);

    /// <summary>Direct synthetic timers.</summary>
    public const uint DirectTimersFeature = 1 << 19;

    /// <summary>
    /// Hypercalls for remote TLB flushes, MSRs for EOI/ICR/TPR and for reset, relaxed timing, x2APIC MSRs, cluster IPI
    /// hypercall, sparse processor masks. Not "deprecate AutoEOI": with this local APIC, AutoEOI saves an intercept.
    /// </summary>
    public const uint Recommendations = (1 << 2) | (1 << 3) | (1 << 4) | (1 << 5) | (1 << 8) | (1 << 10) | (1 << 11);

    /// <summary>Spins before HvCallNotifyLongSpinWait.</summary>
    private const uint SpinRetries = 0xFFF;

    private readonly PartitionOptions _options;
    private int _physicalAddressBits;

    public Cpuid(PartitionOptions options) => _options = options;

    public int PhysicalAddressBits(IVpEngine engine)
    {
        if (_physicalAddressBits == 0)
        {
            int bits = (int)(engine.Cpuid(0x8000_0008, 0).Eax & 0xFF);
            _physicalAddressBits = bits is >= 32 and <= 52 ? bits : 36;
        }

        return _physicalAddressBits;
    }

    public CpuidResult Read(IVpEngine engine, LocalApic apic, int index, uint leaf, uint subleaf)
    {
        if (leaf is >= HypervisorFirst and <= 0x4FFF_FFFF)
        {
            return _options.HyperVInterface ? Hypervisor(leaf) : default;
        }

        CpuidResult result = engine.Cpuid(leaf, subleaf);
        switch (leaf)
        {
            case 0:
                return result with { Eax = Math.Max(result.Eax, TopologyLeaf) };
            case 1:
                return Features1(result, apic, index);
            case 4:
                return Cache(result);
            case 6:
                // ARAT, the APIC timer never stops. Hyper-V does not offer it: with it, Linux on one processor makes the APIC timer its
                // broadcast device, and hv_vmbus cannot be unloaded for want of another clock event device.
                return result with { Eax = _options.HyperVInterface ? result.Eax & ~4u : result.Eax | 4 };
            case TopologyLeaf:
                return Topology(index, subleaf);
            case 0x8000_0008:
                // Core count on AMD processors; reserved, zero, on Intel's.
                return IsAmd(engine)
                    ? result with { Ecx = (uint)(_options.ProcessorCount - 1) | ((uint)CoreBits << 12) }
                    : result;
            default:
                return result;
        }
    }

    private int CoreBits => BitOperations.Log2(BitOperations.RoundUpToPowerOf2((uint)_options.ProcessorCount));

    private static bool IsAmd(IVpEngine engine) => engine.Cpuid(0, 0).Ebx == 0x6874_7541;

    private CpuidResult Hypervisor(uint leaf) => leaf switch
    {
        // "Microsoft Hv"
        HypervisorFirst => new CpuidResult(HypervisorLast, 0x7263_694D, 0x666F_736F, 0x7648_2074),

        // "Hv#1"
        0x4000_0001 => new CpuidResult(0x3123_7648, 0, 0, 0),

        // Version: build 20348, 10.0.
        0x4000_0002 => new CpuidResult(20348, 10 << 16, 0, 0),
        0x4000_0003 => new CpuidResult(Privileges, PrivilegesHigh, 0, Features | (_options.DirectTimers ? DirectTimersFeature : 0)),
        0x4000_0004 => new CpuidResult(Recommendations, SpinRetries, 0, 0),
        0x4000_0005 => new CpuidResult(PartitionOptions.MaxProcessors, PartitionOptions.MaxProcessors, 0, 0),
        _ => default,
    };

    private CpuidResult Features1(CpuidResult result, LocalApic apic, int index)
    {
        uint ecx = result.Ecx | X2ApicFeature | TscDeadlineFeature;
        ecx = _options.HyperVInterface ? ecx | HypervisorFeature : ecx & ~HypervisorFeature;
        uint edx = apic.IsEnabled ? result.Edx | ApicFeature : result.Edx & ~ApicFeature;
        edx = _options.ProcessorCount > 1 ? edx | HttFeature : edx & ~HttFeature;
        uint ebx = (result.Ebx & 0xFFFF) | (1u << CoreBits << 16) | ((uint)index << 24);
        return new CpuidResult(result.Eax, ebx, ecx, edx);
    }

    /// <summary>Deterministic cache parameters: one core has its own L1 and L2, the package shares L3.</summary>
    private CpuidResult Cache(CpuidResult result)
    {
        if ((result.Eax & 0x1F) == 0)
        {
            return result;
        }

        uint ids = (1u << CoreBits) - 1;
        uint sharing = ((result.Eax >> 5) & 7) >= 3 ? ids : 0;
        return result with { Eax = (result.Eax & 0x3FFF) | (sharing << 14) | (ids << 26) };
    }

    /// <summary>Extended topology: one thread a core, all cores in one package.</summary>
    private CpuidResult Topology(int index, uint subleaf) => subleaf switch
    {
        0 => new CpuidResult(0, 1, 1 << 8, (uint)index),
        1 => new CpuidResult((uint)CoreBits, (uint)_options.ProcessorCount, (2 << 8) | 1, (uint)index),
        _ => new CpuidResult(0, 0, subleaf & 0xFF, (uint)index),
    };
}

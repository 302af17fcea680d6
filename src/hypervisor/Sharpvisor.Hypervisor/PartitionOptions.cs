// What a partition is created with.
namespace Sharpvisor.Hypervisor;

/// <summary>The properties of a partition that its guest can tell.</summary>
public sealed record PartitionOptions
{
    /// <summary>The most VPs a partition can have: one sparse bank of an HV_VP_SET, and xAPIC ids in 8 bits.</summary>
    public const int MaxProcessors = 64;

    /// <summary>Number of virtual processors, 1 to <see cref="MaxProcessors"/>. VP index, APIC id and VP number are the same.</summary>
    public int ProcessorCount { get; init; } = 1;

    /// <summary>
    /// Offers direct-mode synthetic timers (Windows Server 2019 and later); without them timers signal by message only, as on
    /// 2016. Linux 6.1's hv_vmbus cannot be unloaded where they are offered: hv_stimer_global_cleanup stops the timer but
    /// leaves it bound as the clock event device, and the guest has no clock interrupt any more.
    /// </summary>
    public bool DirectTimers { get; init; } = true;

    /// <summary>False: no hypervisor CPUID leaves, synthetic MSRs raise #GP and VMCALL raises #UD, as on a bare machine.</summary>
    public bool HyperVInterface { get; init; } = true;
}

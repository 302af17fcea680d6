namespace Sharpvisor.Worker;

/// <summary>What a VM can be configured to.</summary>
public static class VmLimits
{
    public const ulong MinimumMemoryBytes = 16UL << 20;
    public const ulong MaximumMemoryBytes = 64UL << 30;
    public const int MaximumProcessors = 8;
    public const ulong MinimumCodeCacheBytes = 1UL << 20;
    public const ulong MaximumCodeCacheBytes = 1UL << 30;
}

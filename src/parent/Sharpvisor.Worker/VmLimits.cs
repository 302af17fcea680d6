namespace Sharpvisor.Worker;

/// <summary>What a VM can be configured to.</summary>
public static class VmLimits
{
    public const ulong MinimumMemoryBytes = 16UL << 20;
    public const ulong MaximumMemoryBytes = 64UL << 30;

    /// <summary>Hot add goes by whole blocks of this size, so a VM that can grow starts with whole ones.</summary>
    public const ulong MemoryBlockBytes = 128UL << 20;
    public const int MaximumProcessors = 8;
    public const ulong MinimumCodeCacheBytes = 1UL << 20;
    public const ulong MaximumCodeCacheBytes = 1UL << 30;
}

using System.Diagnostics.CodeAnalysis;

namespace Sharpvisor.Core;

/// <summary>A device's own memory that its guest can map, made by <see cref="GuestMemory.CreateSharedMemory"/> and freed with the partition's.</summary>
[SuppressMessage("Design", "CA1001", Justification = "GuestMemory owns and frees the pages.")]
public sealed class SharedMemory
{
    private readonly HostPages _pages;

    internal SharedMemory(HostPages pages) => _pages = pages;

    public int Length => _pages.Length;

    /// <summary>The memory. The guest may change it at any moment.</summary>
    public Span<byte> Bytes => _pages.GetSpan();

    internal unsafe ulong HostAddress => (ulong)_pages.Address;
}

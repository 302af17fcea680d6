// One struct gpa_range of include/linux/hyperv.h, its page numbers kept apart.
namespace Sharpvisor.VMBus;

/// <summary>One run of guest memory that is contiguous for the guest, page by page scattered for us.</summary>
/// <param name="ByteCount">Length in bytes.</param>
/// <param name="ByteOffset">Offset of the first byte in the first page, below 4096 (for transfer pages: within the set).</param>
/// <param name="FirstPfn">Index of its first page number in <see cref="GpaRangeList.Pfns"/>.</param>
/// <param name="PfnCount">Number of pages it touches.</param>
public readonly record struct GpaRange(uint ByteCount, uint ByteOffset, int FirstPfn, int PfnCount);

// The unchanging properties of a disk.
namespace Sharpvisor.Storage;

/// <summary>What a disk looks like from outside.</summary>
internal readonly record struct DiskGeometry(long Bytes, int LogicalSectorBytes, int PhysicalSectorBytes, Guid Id);

namespace Sharpvisor.Vsp.Balloon;

/// <summary>What a guest reports of its memory once a second (struct dm_status): the pressure that dynamic memory follows.</summary>
/// <param name="AvailableBytes">Could be had without swapping.</param>
/// <param name="CommittedBytes">Promised to programs, the balloon and a floor included.</param>
public readonly record struct MemoryReport(DateTimeOffset Time, ulong AvailableBytes, ulong CommittedBytes);

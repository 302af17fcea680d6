// The works of compare's table: what the guest's diskbench is asked to do.
using System.Globalization;

namespace Sharpvisor.Cli.Comparison;

/// <param name="Key">How the guest names it on the serial line.</param>
internal sealed record DiskWork(string Key, string Title, bool Writing, bool Random, int BlockBytes, int Depth, int Requests)
{
    /// <summary>The disk the works run on: a size no other disk has, so that the guest finds it whatever its name.</summary>
    public const long ScratchBytes = (256L << 20) + (7 * 4096);

    /// <summary>In the order they run.</summary>
    public static IReadOnlyList<DiskWork> All { get; } =
    [
        new("seq-read", "sequential read, 256 KiB", false, false, 256 << 10, 4, 512),
        new("seq-write", "sequential write, 256 KiB", true, false, 256 << 10, 4, 512),
        new("rand-read-1", "random read, 4 KiB, depth 1", false, true, 4096, 1, 2000),
        new("rand-write-1", "random write, 4 KiB, depth 1", true, true, 4096, 1, 2000),
        new("rand-read-16", "random read, 4 KiB, depth 16", false, true, 4096, 16, 4000),
        new("rand-write-16", "random write, 4 KiB, depth 16", true, true, 4096, 16, 4000),
    ];

    /// <summary>The diskbench command line, the device being <c>$disk</c>.</summary>
    public string Command => CommandFor(Requests);

    /// <summary>What comes before it and is not measured: host and guest code that runs for the first time is compiled meanwhile.</summary>
    public string WarmUpCommand => CommandFor(Requests / 4);

    private string CommandFor(int requests) => string.Create(
        CultureInfo.InvariantCulture,
        $"$disk {(Writing ? "write" : "read")} {(Random ? "random" : "sequential")} {BlockBytes} {Depth} {requests} {256L << 20}");
}

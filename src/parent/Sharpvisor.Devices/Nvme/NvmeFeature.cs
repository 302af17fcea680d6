// Feature identifiers (NVMe 1.4, figure 271).
namespace Sharpvisor.Devices.Nvme;

internal static class NvmeFeature
{
    public const uint LbaRangeType = 0x03;
    public const uint TemperatureThreshold = 0x04;
    public const uint VolatileWriteCache = 0x06;
    public const uint QueueCount = 0x07;

    /// <summary>The answer to a request for queues, whatever was asked for: both kinds, zero-based.</summary>
    public const uint Queues = (NvmeController.MaxQueues - 1) | ((NvmeController.MaxQueues - 1) << 16);
}

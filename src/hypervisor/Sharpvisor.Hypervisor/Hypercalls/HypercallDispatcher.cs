// stub
namespace Sharpvisor.Hypervisor;

internal sealed class HypercallDispatcher
{
    private readonly bool _x;
    public HypercallDispatcher(Partition partition, VirtualProcessor processor, InterceptCounters counters)
    {
        _x = partition.IsTracing && false;
    }

    public bool Call() => _x;
}

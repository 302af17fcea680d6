// Call codes the hypervisor knows by name (TLFS, appendix "Hypercall Code Reference"), for counters and traces.
namespace Sharpvisor.Hypervisor;

internal static class HypercallNames
{
    public static string? Of(ushort code) => (HypercallCode)code switch
    {
        HypercallCode.FlushVirtualAddressSpace => "HvCallFlushVirtualAddressSpace",
        HypercallCode.FlushVirtualAddressList => "HvCallFlushVirtualAddressList",
        HypercallCode.NotifyLongSpinWait => "HvCallNotifyLongSpinWait",
        HypercallCode.SendSyntheticClusterIpi => "HvCallSendSyntheticClusterIpi",
        HypercallCode.FlushVirtualAddressSpaceEx => "HvCallFlushVirtualAddressSpaceEx",
        HypercallCode.FlushVirtualAddressListEx => "HvCallFlushVirtualAddressListEx",
        HypercallCode.SendSyntheticClusterIpiEx => "HvCallSendSyntheticClusterIpiEx",
        HypercallCode.PostMessage => "HvCallPostMessage",
        HypercallCode.SignalEvent => "HvCallSignalEvent",
        HypercallCode.RetargetInterrupt => "HvCallRetargetInterrupt",
        HypercallCode.ExtQueryCapabilities => "HvExtCallQueryCapabilities",
        HypercallCode.ExtMemoryHeatHint => "HvExtCallMemoryHeatHint",
        _ => null,
    };
}

// What only test devices ask of SynIC (TLFS "Inter-Partition Communication").
namespace Sharpvisor.Core;

/// <summary>Interrupts of a SINT with neither message nor event flag behind them. Thread-safe.</summary>
public interface ISintWires
{
    /// <summary>Requests the SINT's vector on a VP. False when there is no such VP or SINT, or it is masked or polled.</summary>
    bool AssertSint(uint vpIndex, byte sint);
}

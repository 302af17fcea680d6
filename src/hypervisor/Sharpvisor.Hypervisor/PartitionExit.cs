// Why a partition stopped, or asks for the worker's attention.
namespace Sharpvisor.Hypervisor;

/// <summary>What happened.</summary>
public enum PartitionExitReason
{
    /// <summary>The guest powered off (ACPI).</summary>
    PowerOff,
    /// <summary>The guest asked for a machine reset: pause is in effect; reset the devices, call ResetAll, then Resume.</summary>
    Reset,
    /// <summary>A VP took a triple fault; its VPs are frozen.</summary>
    TripleFault,
    /// <summary>The guest reported a crash through HV_X64_MSR_CRASH_CTL; it keeps running.</summary>
    GuestCrash,
    /// <summary>A test guest wrote its exit port; <see cref="PartitionExit.Status"/> holds the status.</summary>
    DebugExit,
    /// <summary><see cref="Partition.Stop"/> was called.</summary>
    Stopped,
    /// <summary>The worker itself failed on a VP thread; <see cref="PartitionExit.Message"/> says how.</summary>
    Failure,
}

/// <param name="Reason">What happened.</param>
/// <param name="VpIndex">The VP it happened on, or -1.</param>
/// <param name="Status">Exit status of <see cref="PartitionExitReason.DebugExit"/>.</param>
/// <param name="CrashParameters">P0 to P4 of a guest crash; empty otherwise.</param>
/// <param name="Message">The guest's crash message, or the failure's text.</param>
public sealed record PartitionExit(
    PartitionExitReason Reason,
    int VpIndex = -1,
    int Status = 0,
    IReadOnlyList<ulong>? CrashParameters = null,
    string? Message = null);

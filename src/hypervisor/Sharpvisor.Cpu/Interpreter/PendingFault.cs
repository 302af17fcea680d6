// An exception raised by the instruction being executed, before it is delivered (Intel SDM Vol. 3A, chapter 6).
namespace Sharpvisor.Cpu.Interpreter;

/// <summary>Set by Faults.Raise and the MMU; consumed by Exceptions.Deliver.</summary>
internal struct PendingFault
{
    public bool Active;
    public byte Vector;
    public bool HasErrorCode;
    public uint ErrorCode;
    /// <summary>For #PF: the linear address; delivery puts it in CR2.</summary>
    public ulong Cr2;
}

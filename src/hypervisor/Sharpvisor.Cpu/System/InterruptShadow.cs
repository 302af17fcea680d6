// What VpState.InterruptShadow holds: Intel SDM Vol. 3A, 6.8.1 and 6.8.3.
namespace Sharpvisor.Cpu.System;

internal static class InterruptShadow
{
    /// <summary>STI: interrupts wait for one more instruction, debug traps do not.</summary>
    public const uint Sti = 1;

    /// <summary>MOV SS, POP SS: debug traps and execution breakpoints wait as well.</summary>
    public const uint MovSs = 2;
}

// Delivery through the IVT or IDT (Intel SDM Vol. 3A, chapter 6).
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.System;

/// <summary>Delivers exceptions and interrupts. RIP in VP state must be exact on entry.</summary>
internal static unsafe class Exceptions
{
    /// <summary>Delivers <see cref="Vp.PendingFault"/> (RIP: of the faulting instruction, or after it for traps), with #DF and triple fault.</summary>
    public static void Deliver(Vp vp) => throw new NotImplementedException();

    /// <summary>An external interrupt.</summary>
    public static void DeliverInterrupt(Vp vp, byte vector) => throw new NotImplementedException();

    /// <summary>An NMI; sets <see cref="VpState.NmiBlocked"/>.</summary>
    public static void DeliverNmi(Vp vp) => throw new NotImplementedException();

    /// <summary>INT n, INT3, INTO: gate privilege is checked. RIP: after the instruction; <paramref name="instructionRip"/>: of it, for faults.</summary>
    public static void DeliverSoftware(Vp vp, byte vector, ulong instructionRip) => throw new NotImplementedException();
}

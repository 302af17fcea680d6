// The seam between the hypervisor and an execution engine: the engine runs guest instructions on one VP and asks the
// hypervisor (IVpIntercepts) whatever it cannot answer from VP state and guest memory.
namespace Sharpvisor.Core;

/// <summary>Why <see cref="IVpEngine.Run"/> returned.</summary>
public enum VpExit
{
    /// <summary>HLT with nothing pending: wait for an event, then Run again.</summary>
    Halt,
    /// <summary>An event bit the hypervisor handles (Stop, Init, Startup) is pending.</summary>
    Event,
    /// <summary>A triple fault.</summary>
    Shutdown,
}

/// <summary>Bits of <see cref="VpState.PendingEvents"/>, set by any thread, looked at by the engine at block boundaries.</summary>
[Flags]
public enum VpEvents : uint
{
    None = 0,
    /// <summary>The local APIC may have a deliverable vector: call <see cref="IVpIntercepts.AcknowledgeInterrupt"/> when IF allows.</summary>
    Interrupt = 1,
    Nmi = 2,
    /// <summary>The engine must drop all its TLB entries before the next instruction.</summary>
    FlushTlb = 4,
    /// <summary>Return from Run with <see cref="VpExit.Event"/>.</summary>
    Stop = 8,
    /// <summary>Engine-private request (for example: acknowledge a code-tracking change).</summary>
    Engine = 16,
}

/// <summary>Registers after CPUID.</summary>
public readonly record struct CpuidResult(uint Eax, uint Ebx, uint Ecx, uint Edx);

/// <summary>What an engine asks of the hypervisor. Called on the VP's own thread.</summary>
public interface IVpIntercepts
{
    uint ReadPort(ushort port, int bytes);

    void WritePort(ushort port, int bytes, uint value);

    /// <summary>String I/O in one intercept; returns elements done, 0 when the device has no fast path.</summary>
    int ReadPortString(ushort port, int bytes, Span<byte> destination);

    /// <inheritdoc cref="ReadPortString"/>
    int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source);

    /// <param name="gpa">Guest physical address with no memory behind it (or ROM, for writes).</param>
    /// <param name="bytes">1, 2, 4 or 8.</param>
    ulong ReadMmio(ulong gpa, int bytes);

    void WriteMmio(ulong gpa, int bytes, ulong value);

    /// <summary>MSRs the engine does not hold itself (APIC, TSC deadline, Hyper-V's). False: #GP(0).</summary>
    bool TryReadMsr(uint msr, out ulong value);

    /// <inheritdoc cref="TryReadMsr"/>
    bool TryWriteMsr(uint msr, ulong value);

    /// <summary>CPUID as the guest sees it: the engine's own answer (<see cref="IVpEngine.Cpuid"/>) with topology, APIC and hypervisor leaves laid over.</summary>
    CpuidResult Cpuid(uint leaf, uint subleaf);

    /// <summary>VMCALL/VMMCALL with the VP's registers as they are; writes results to them. False: #UD.</summary>
    bool Hypercall();

    /// <summary>Partition time in TSC ticks, before TSC_ADJUST/offset, which are in <see cref="VpState"/>.</summary>
    ulong ReadTsc();

    /// <summary>The task priority, CR8 (0..15).</summary>
    byte Cr8 { get; set; }

    /// <summary>Takes the highest deliverable vector into service; -1 when there is none.</summary>
    int AcknowledgeInterrupt();
}

/// <summary>One VP's execution engine. Everything but <see cref="Kick"/> and <see cref="RequestTlbFlush"/> belongs to the VP's thread.</summary>
public unsafe interface IVpEngine : IDisposable
{
    VpState* State { get; }

    /// <summary>Guest instructions retired so far (approximate while running).</summary>
    long Instructions { get; }

    VpExit Run();

    /// <summary>Sets event bits and makes Run notice them within a bounded number of instructions. Any thread.</summary>
    void Kick(VpEvents events);

    /// <summary>
    /// Drops the VP's cached translations before its next instruction (HvCallFlushVirtualAddress*, layout changes). Any thread.
    /// Returns when no instruction that started before can still use an old translation, or the VP is not running.
    /// </summary>
    void RequestTlbFlush();

    /// <summary>What this CPU model offers, before the hypervisor lays topology and its own leaves over it.</summary>
    CpuidResult Cpuid(uint leaf, uint subleaf);

    /// <summary>Adds the engine's own counters under <c>cpu.</c>; while the VP does not run, or roughly.</summary>
    void AddStatistics(Statistics statistics);

    /// <summary>Puts the VP in its architectural INIT (or power-on) state.</summary>
    void Reset(bool powerOn);
}

/// <summary>Creates the engines of one partition's VPs.</summary>
public interface IVpEngineFactory
{
    IVpEngine Create(int vpIndex, GuestMemory memory, IVpIntercepts intercepts);
}

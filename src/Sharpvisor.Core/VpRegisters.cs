// A safe view of one VP's registers, for assemblies without unsafe code: the hypervisor (hypercall parameters, SIPI) and
// the worker (the boot protocol's initial state). Only the VP's own thread may use it, or any thread while the VP does not run.

namespace Sharpvisor.Core;

/// <summary>Indices of general purpose registers, in x86 encoding order.</summary>
public enum Gpr
{
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
}

/// <summary>Reads and writes the state that an engine keeps in native memory.</summary>
public sealed unsafe class VpRegisters
{
    private const int VectorBytes = 32;
    private const int VectorCount = 16;
    private readonly VpState* _state;

    /// <param name="engine">The engine whose state is shown; it must outlive this object.</param>
    public VpRegisters(IVpEngine engine)
    {
        ArgumentNullException.ThrowIfNull(engine);
        _state = engine.State;
    }

    /// <summary>Every field that is not a fixed buffer.</summary>
    public ref VpState State => ref *_state;

    /// <summary>A general purpose register.</summary>
    public ulong this[Gpr register]
    {
        get => _state->Gpr[(int)register & 15];
        set => _state->Gpr[(int)register & 15] = value;
    }

    /// <summary>The guest runs 64-bit code: EFER.LMA and CS.L.</summary>
    public bool Is64BitCode => (_state->Efer & 0x400) != 0 && (VpState.Seg(_state, Sharpvisor.Core.Segment.Cs)->Attributes & 0x200) != 0;

    /// <summary>RFLAGS.IF, without regard to the interrupt shadow.</summary>
    public bool InterruptsEnabled => (_state->RFlags & 0x200) != 0;

    /// <summary>Events that are set and not yet taken.</summary>
    public VpEvents PendingEvents => (VpEvents)Volatile.Read(ref _state->PendingEvents);

    /// <summary>A segment register with its descriptor cache.</summary>
    public ref SegmentRegister Segment(Segment index) => ref *VpState.Seg(_state, index);

    /// <summary>Takes event bits back. Any thread.</summary>
    public void ClearEvents(VpEvents events) => Interlocked.And(ref _state->PendingEvents, ~(uint)events);

    /// <summary>Copies the low 16 bytes of a vector register out (fast hypercall input).</summary>
    /// <param name="index">0 to 15.</param>
    /// <param name="destination">At least 16 bytes.</param>
    public void ReadXmm(int index, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)VectorCount);

        // SAFETY: the index is in range, and the state outlives this object.
        new ReadOnlySpan<byte>(_state->Vector + (index * VectorBytes), 16).CopyTo(destination);
    }
}

// What the leader asked of the hypervisor and what it got, in order: the follower asks nobody. An intercept may also have
// changed registers behind the engine's back (a hypercall's result, for example); those words are kept with it.
using System.Globalization;

namespace Sharpvisor.Cpu.Lockstep;

internal enum InterceptKind
{
    ReadPort,
    WritePort,
    ReadPortString,
    WritePortString,
    ReadMmio,
    WriteMmio,
    ReadMsr,
    WriteMsr,
    Cpuid,
    Hypercall,
    ReadTsc,
    GetCr8,
    SetCr8,
    AcknowledgeInterrupt,
    Random,
    Fault,
}

/// <param name="Argument">Port, address, MSR, or leaf and subleaf.</param>
/// <param name="Bytes">Width, or elements of a string.</param>
/// <param name="Written">What the guest gave; 0 for reads.</param>
internal readonly record struct InterceptCall(InterceptKind Kind, ulong Argument, int Bytes, ulong Written)
{
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Kind} {Argument:x}/{Bytes} {Written:x}");
}

/// <param name="Result">What the guest got.</param>
/// <param name="More">Three more registers of CPUID.</param>
/// <param name="Data">The elements of a string.</param>
/// <param name="Changes">Words of the VP's state that changed: index, value.</param>
internal readonly record struct InterceptEntry(
    InterceptCall Call, ulong Result, CpuidResult More, byte[]? Data, IReadOnlyList<(int Word, ulong Value)>? Changes);

/// <summary>A queue between the two.</summary>
internal sealed class InterceptLog
{
    private readonly Queue<InterceptEntry> _entries = new();

    public int Count => _entries.Count;

    public void Add(in InterceptEntry entry) => _entries.Enqueue(entry);

    /// <exception cref="LockstepException">The leader did something else, or nothing.</exception>
    public InterceptEntry Take(in InterceptCall call)
    {
        if (!_entries.TryDequeue(out InterceptEntry entry))
        {
            throw new LockstepException($"the follower makes an intercept that the leader did not make: {call}");
        }

        return entry.Call == call
            ? entry
            : throw new LockstepException($"intercepts differ: leader {entry.Call}, follower {call}");
    }

    public override string ToString() => string.Join("; ", _entries.Select(e => e.Call.ToString()));
}

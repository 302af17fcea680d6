// One side of the comparison: the host CPU, the interpreter, later the translator.
namespace Sharpvisor.Cpu.Tests.Differential;

internal unsafe interface ISequenceRunner : IDisposable
{
    string Name { get; }

    /// <summary>What the last run left.</summary>
    MachineState* Output { get; }

    /// <summary>Replaces the code area. Each sequence is followed by <see cref="SequenceEncoder.TerminatorBytes"/> for the runner's own terminator.</summary>
    void LoadCode(ReadOnlySpan<byte> code, ReadOnlySpan<int> terminators);

    /// <summary>Everything that must be done on the running thread before a run.</summary>
    void Enter();

    void Leave();

    /// <param name="initial">Registers to start with; its Rip is the sequence's address.</param>
    /// <param name="end">Address of the sequence's terminator.</param>
    /// <param name="memory">Initial content of the scratch buffer.</param>
    void Run(MachineState* initial, ulong end, byte* memory);

    /// <summary>A page of the scratch buffer.</summary>
    byte* BufferPage(int page);
}

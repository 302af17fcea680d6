// Runs each sequence a second time on another runner's engine: the blocks are translated and known by then, and the jumps between
// them bound, so that it takes other ways through the same code than the first time.
using System.Runtime.CompilerServices;

namespace Sharpvisor.Cpu.Tests.Differential;

/// <param name="first">The engine's runner, which must come before this one; what it left stays as it was.</param>
internal sealed unsafe class AgainRunner(ISequenceRunner first) : ISequenceRunner
{
    private readonly byte[] _memory = GC.AllocateArray<byte>(Arena.BufferBytes, pinned: true);
    private readonly byte[] _output = GC.AllocateArray<byte>(MachineState.Bytes, pinned: true);

    public string Name => first.Name + ", again";

    public MachineState* Output => (MachineState*)Unsafe.AsPointer(ref _output[0]);

    public byte* BufferPage(int page) => (byte*)Unsafe.AsPointer(ref _memory[page * Arena.PageBytes]);

    public void LoadCode(ReadOnlySpan<byte> code, ReadOnlySpan<int> terminators)
    {
    }

    public void Enter()
    {
    }

    public void Leave()
    {
    }

    public void Run(MachineState* initial, ulong end, byte* memory)
    {
        Exchange();
        first.Run(initial, end, memory);
        Exchange();
    }

    public void Dispose()
    {
    }

    // What the runner left, against what is kept here.
    private void Exchange()
    {
        Swap(new Span<byte>(first.Output, MachineState.Bytes), _output);
        for (int page = 0; page < Arena.BufferPages; page++)
        {
            Swap(new Span<byte>(first.BufferPage(page), Arena.PageBytes), _memory.AsSpan(page * Arena.PageBytes, Arena.PageBytes));
        }
    }

    private static void Swap(Span<byte> a, Span<byte> b)
    {
        Span<byte> kept = stackalloc byte[Arena.PageBytes];
        kept = kept[..a.Length];
        a.CopyTo(kept);
        b.CopyTo(a);
        kept.CopyTo(b);
    }
}

// Where a runner's code and data lie: low addresses, so that 32-bit addressing and absolute displacements reach them,
// and the same in the host process and in the guest's page tables.
namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed class Arena
{
    public const int MaximumCount = 5;
    public const int CodeBytes = 0x4_0000;
    public const int PageBytes = 4096;
    public const int BufferPages = 2;
    public const int BufferBytes = BufferPages * PageBytes;
    public const ulong Span = 0x1000_0000;
    public const ulong FirstBase = 0x2000_0000;
    public const ulong ControlOffset = 0x10_0000;
    public const ulong BufferOffset = 0x20_1000;
    public const ulong TrampolineOffset = 0x30_0000;

    private static readonly Lock s_lock = new();
    private static readonly bool[] s_used = new bool[MaximumCount];
    private readonly int _index;

    private Arena(int index) => _index = index;

    public ulong Base => FirstBase + ((ulong)_index * Span);

    public ulong Code => Base;

    public ulong Control => Base + ControlOffset;

    /// <summary>Scratch memory of <see cref="BufferBytes"/>, with unmapped pages on both sides.</summary>
    public ulong Buffer => Base + BufferOffset;

    public ulong Trampoline => Base + TrampolineOffset;

    public static Arena Acquire()
    {
        lock (s_lock)
        {
            int index = Array.IndexOf(s_used, false);
            if (index < 0)
            {
                throw new InvalidOperationException("all arenas are in use");
            }

            s_used[index] = true;
            return new Arena(index);
        }
    }

    public void Release()
    {
        lock (s_lock)
        {
            s_used[_index] = false;
        }
    }
}

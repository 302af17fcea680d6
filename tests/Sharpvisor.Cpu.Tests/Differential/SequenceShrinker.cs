// Reduces a failing sequence: drops instructions while it still fails, then replaces initial registers by zero and the
// usual control words. Every candidate passes the tracker first, so that it cannot reach outside the scratch buffer.
using System.Runtime.CompilerServices;

namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed unsafe class SequenceShrinker(SequenceGenerator generator, Func<Sequence, bool> fails)
{
    private const ulong AllFlags = 0x8D5;

    private Sequence _candidate = new();

    public Sequence Shrink(Sequence failing)
    {
        var best = new Sequence();
        failing.CopyTo(best);
        bool smaller;
        do
        {
            smaller = false;
            for (int i = best.Count - 1; i >= 0; i--)
            {
                int index = i;
                smaller |= Try(ref best, s => s.RemoveAt(index))
                    || TryWithFlags(ref best, index, AllFlags) || TryWithFlags(ref best, index, 0);
            }
        }
        while (smaller);

        Simplify(ref best);
        _ = generator.Verify(best) && fails(best);
        return best;
    }

    private void Simplify(ref Sequence best)
    {
        for (int i = 0; i < 16; i++)
        {
            int index = i;
            _ = Try(ref best, s => s.Initial.Gpr[index] = 0);
        }

        _ = Try(ref best, static s => s.Initial.RFlags = 0x202);
        _ = Try(ref best, static s => Word(s, MachineState.FxFcw) = 0x37F);
        _ = Try(ref best, static s => Word(s, MachineState.FxFsw) = 0);
        _ = Try(ref best, static s => Word(s, MachineState.FxFtw) = 0);
        _ = Try(ref best, static s => Word(s, MachineState.FxMxcsr) = 0x1F80);
        for (int at = MachineState.FxSt; at < MachineState.FxXmm + 256; at += 8)
        {
            int offset = at;
            _ = Try(ref best, s => Unsafe.WriteUnaligned(ref s.Initial.Fx[offset], 0UL));
        }
    }

    // What is removed may have mattered only for the flags it left.
    private bool TryWithFlags(ref Sequence best, int index, ulong flags) => Try(ref best, s =>
    {
        s.RemoveAt(index);
        s.Initial.RFlags = (s.Initial.RFlags & ~AllFlags) | flags;
    });

    private static ref ushort Word(Sequence sequence, int offset) =>
        ref Unsafe.As<byte, ushort>(ref sequence.Initial.Fx[offset]);

    private bool Try(ref Sequence best, Action<Sequence> change)
    {
        best.CopyTo(_candidate);
        change(_candidate);
        if (!generator.Verify(_candidate) || !fails(_candidate))
        {
            return false;
        }

        (best, _candidate) = (_candidate, best);
        return true;
    }
}

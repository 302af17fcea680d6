// Encodes sequences into the code area: Iced encodes each instruction, branch displacements are filled in afterwards.
using System.Runtime.InteropServices;
using System.Buffers.Binary;
using Iced.Intel;

namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed class SequenceEncoder
{
    /// <summary>Room left after each sequence for the runner's way out.</summary>
    public const int TerminatorBytes = 5;

    private const int LongestSequence = (Sequence.Capacity * 15) + TerminatorBytes;

    private readonly Arena _arena;
    private readonly ByteWriter _writer = new();
    private readonly Encoder _encoder;
    private readonly int[] _starts = new int[Sequence.Capacity + 1];
    private readonly List<int> _terminators = [];

    public SequenceEncoder(Arena arena)
    {
        _arena = arena;
        _encoder = Encoder.Create(64, _writer);
    }

    public bool HasRoom => _writer.Count + LongestSequence < Arena.CodeBytes;

    public ReadOnlySpan<byte> Code => _writer.Written;

    public ReadOnlySpan<int> Terminators => CollectionsMarshal.AsSpan(_terminators);

    public string? LastError { get; private set; }

    public void Reset()
    {
        _writer.Truncate(0);
        _terminators.Clear();
    }

    /// <summary>Appends a sequence. False, with nothing appended, when an instruction has no encoding (AH with REX …).</summary>
    public bool TryAppend(Sequence sequence)
    {
        int first = _writer.Count;
        sequence.CodeOffset = first;
        for (int i = 0; i < sequence.Count; i++)
        {
            _starts[i] = _writer.Count;
            Instruction instruction = sequence.Items[i];
            ulong rip = _arena.Code + (ulong)_writer.Count;
            if (SequenceTracker.IsBranch(instruction))
            {
                instruction.NearBranch64 = rip;
            }
            else if (SequenceTracker.IsLabelLoad(instruction) || SequenceTracker.IsPatch(instruction))
            {
                instruction.MemoryDisplacement64 = rip;
            }

            if (!_encoder.TryEncode(instruction, rip, out _, out string? error))
            {
                LastError = error;
                _writer.Truncate(first);
                return false;
            }
        }

        _starts[sequence.Count] = _writer.Count;
        if (!TryLink(sequence))
        {
            _writer.Truncate(first);
            return false;
        }

        sequence.EndOffset = _writer.Count;
        _terminators.Add(_writer.Count);
        for (int i = 0; i < TerminatorBytes; i++)
        {
            _writer.WriteByte(0xCC);
        }

        sequence.Initial.Rip = _arena.Code + (ulong)sequence.CodeOffset;
        return true;
    }

    private bool TryLink(Sequence sequence)
    {
        for (int i = 0; i < sequence.Count; i++)
        {
            int next = _starts[i + 1];
            if (SequenceTracker.IsLabelLoad(sequence.Items[i]))
            {
                int label = _starts[(int)(sequence.Items[i].MemoryDisplacement64 & 0xFF)];
                BinaryPrimitives.WriteInt32LittleEndian(_writer.Written[(next - 4)..], label - next);
                continue;
            }

            if (SequenceTracker.IsPatch(sequence.Items[i]))
            {
                // The displacement lies before the immediate; the target's immediate at the target's end.
                int immediate = _starts[(int)(sequence.Items[i].MemoryDisplacement64 & 0xFF) + 1] - 4;
                BinaryPrimitives.WriteInt32LittleEndian(_writer.Written[(next - 8)..], immediate - next);
                continue;
            }

            if (!SequenceTracker.IsBranch(sequence.Items[i]))
            {
                continue;
            }

            int distance = _starts[(int)sequence.Items[i].NearBranch64] - next;
            if (sequence.Items[i].Code.ToOpCode().GetOpKind(0) == OpCodeOperandKind.br64_1)
            {
                if (distance > sbyte.MaxValue)
                {
                    return false;
                }

                _writer.Written[next - 1] = (byte)distance;
            }
            else
            {
                BinaryPrimitives.WriteInt32LittleEndian(_writer.Written[(next - 4)..], distance);
            }
        }

        return true;
    }
}

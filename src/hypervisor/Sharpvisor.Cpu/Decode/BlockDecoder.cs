// Turns guest bytes into blocks of ops. Iced decodes; this maps its Instruction to Op (see Op for the field meanings).
using Iced.Intel;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.Decode;

/// <summary>Decoder state of one VP: one Iced decoder for each code size over a shared byte reader.</summary>
internal sealed unsafe class BlockDecoder
{
    public const int MaxOps = 48;
    public const int MaxInstructionBytes = 15;
    /// <summary>Enough for most blocks; a longer one is split.</summary>
    public const int WindowBytes = 512;

    private readonly WindowReader _reader = new();
    private readonly Iced.Intel.Decoder[] _decoders;

    public BlockDecoder()
    {
        _decoders =
        [
            Iced.Intel.Decoder.Create(16, _reader),
            Iced.Intel.Decoder.Create(32, _reader),
            Iced.Intel.Decoder.Create(64, _reader),
        ];
    }

    /// <summary>Decodes from <paramref name="raw"/> into the ops behind <paramref name="block"/>; sets Bytes and Ops.</summary>
    /// <returns>False when not even one instruction is complete: it crosses the page.</returns>
    public bool Decode(Block* block, byte* raw, int available, int pageOffset, bool lastWindow)
    {
        uint bits = block->Mode & BlockMode.BitsMask;
        bool single = (block->Mode & BlockMode.Single) != 0;
        Iced.Intel.Decoder decoder = _decoders[bits];
        _reader.Set(raw, available);
        Op* op = Block.First(block);
        int limit = single ? 1 : MaxOps;
        int count = 0;
        int consumed = 0;
        bool open = true;
        while (open && count < limit)
        {
            _reader.Position = consumed;
            decoder.IP = (ulong)(pageOffset + consumed);
            decoder.Decode(out Instruction instruction);
            if (instruction.Code == Code.INVALID && decoder.LastError == DecoderError.NoMoreBytes)
            {
                if (count == 0 && !lastWindow)
                {
                    return false;
                }

                if (count != 0)
                {
                    break;
                }
            }

            op->PageOffset = (ushort)(pageOffset + consumed);
            op->Index16 = (ushort)(count + 1);
            op->HeaderDistance = (ushort)(count + 1);
            open = OpBuilder.Build(op, in instruction, (int)bits);
            if (instruction.Code == Code.INVALID && _reader.Position - consumed == MaxInstructionBytes)
            {
                op->Handler = &Branch.TooLong;
            }

            consumed += Math.Max(1, instruction.Length);
            op++;
            count++;
        }

        block->Bytes = (ushort)consumed;
        block->Ops = (ushort)count;
        if (open)
        {
            // SAFETY: Reserve left room for this op and the copy of the bytes.
            op->Handler = &Branch.Continue;
            op->PageOffset = (ushort)(pageOffset + consumed);
            op->Index16 = (ushort)count;
            op->HeaderDistance = (ushort)(count + 1);
            op++;
        }

        block->Raw = (byte*)op;
        Buffer.MemoryCopy(raw, op, 1024, consumed);
        return true;
    }

    private sealed class WindowReader : CodeReader
    {
        private byte* _bytes;
        private int _count;

        public int Position { get; set; }

        public void Set(byte* bytes, int count)
        {
            _bytes = bytes;
            _count = count;
            Position = 0;
        }

        public override int ReadByte() => Position < _count ? _bytes[Position++] : -1;
    }
}

// One predecoded guest instruction. The interpreter calls Handler(state, op); the handler returns the op to run next
// (usually op + 1) or null to leave the block: a fault was raised, an event is due, or the target is not known yet.
using System.Runtime.InteropServices;

namespace Sharpvisor.Cpu.Decode;

/// <summary>How an <see cref="Op"/> reaches its memory operand, and its prefixes.</summary>
[Flags]
internal enum OpFlags : byte
{
    None = 0,
    /// <summary>An operand is in memory.</summary>
    Memory = 1,
    /// <summary>The linear address is just base + index * scale + displacement: flat 64-bit, no segment base.</summary>
    Flat = 2,
    Lock = 4,
    Rep = 8,
    Repne = 16,
    /// <summary>Dst (or Src) is one of AH, CH, DH, BH, numbered 4..7 without this instruction having REX.</summary>
    HighDst = 32,
    HighSrc = 64,
    /// <summary>Decoded in a 64-bit code segment.</summary>
    Long = 128,
}

/// <summary>A predecoded instruction, 64 bytes: one cache line.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Op
{
    public delegate*<VpState*, Op*, Op*> Handler;
    /// <summary>Immediate, sign-extended; for near branches the target minus the block's page base; for moffs the address; for far pointers selector &lt;&lt; 32 | offset.</summary>
    public long Immediate;
    /// <summary>Sign-extended displacement; for RIP-relative operands already relative to the page base (Base is then 17).</summary>
    public long Displacement;
    /// <summary>Resolved successor of a taken direct branch, when it may be chained; else null.</summary>
    public Op* Target;
    /// <summary>The <see cref="Iced.Intel.Code"/> it was decoded from.</summary>
    public ushort Code;
    /// <summary>Offset of the instruction's first byte in the block's page.</summary>
    public ushort PageOffset;
    /// <summary>Instruction bytes, 1..15.</summary>
    public byte Length;
    public OpFlags Flags;
    /// <summary>First operand's register number (0..15 general, vector, segment, control …), or the reg of a store.</summary>
    public byte Dst;
    /// <summary>Second operand's register number.</summary>
    public byte Src;
    /// <summary>Third operand's register number (VEX, SHLD).</summary>
    public byte Src2;
    /// <summary>Index into <see cref="VpState.Gpr"/>: 16 none, 17 RIP-relative (page base).</summary>
    public byte Base;
    /// <summary>Index into <see cref="VpState.Gpr"/>: 16 none.</summary>
    public byte Index;
    /// <summary>log2 of the scale.</summary>
    public byte Scale;
    /// <summary>The memory operand's segment, overrides and defaults applied (<see cref="Core.Segment"/>).</summary>
    public byte Segment;
    /// <summary>Operand size in bytes: 2, 4, 8 (1 for byte instructions).</summary>
    public byte OperandBytes;
    /// <summary>Address size in bytes: 2, 4, 8.</summary>
    public byte AddressBytes;
    /// <summary>Second immediate (ENTER, EXTRQ), or what a handler family wants.</summary>
    public byte Extra;
    /// <summary>Position in its block, counted from 1: instructions retired when control leaves the block here.</summary>
    public ushort Index16;
    /// <summary>Distance from the block's header, counted in ops: 1 for the first.</summary>
    public ushort HeaderDistance;
    /// <summary>How often the block was entered here, until it is translated; then see BlockTranslator.CountAhead.</summary>
    public uint Heat;
    /// <summary>Host code that runs this op and goes on; null: only <see cref="Handler"/> does.</summary>
    public byte* Native;
}

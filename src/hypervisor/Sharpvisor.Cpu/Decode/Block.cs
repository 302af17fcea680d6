// A decoded basic block in native memory: this header, then its ops, then a copy of the bytes it was decoded from.
using System.Runtime.InteropServices;

namespace Sharpvisor.Cpu.Decode;

/// <summary>Header of a block; as large as an <see cref="Op"/>, so that the first op is <c>(Op*)block + 1</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Block
{
    /// <summary>The page's write counter; the block may run while it equals <see cref="Generation"/>.</summary>
    public uint* GenerationAddress;
    /// <summary>0 when the block is dead.</summary>
    public uint Generation;
    public ushort Bytes;
    public ushort Ops;
    /// <summary>Physical address of the first byte.</summary>
    public ulong Gpa;
    public Block* Next;
    /// <summary>The bytes it was decoded from.</summary>
    public byte* Raw;
    /// <summary>Where they came from.</summary>
    public byte* Host;
    /// <summary>The mode it was decoded for: see <see cref="BlockMode"/>.</summary>
    public uint Mode;
    /// <summary>Bytes on the first page when the single instruction crosses a page; else 0. Such a block is compared with memory at each entry.</summary>
    public uint FirstPageBytes;
    /// <summary>Host code for jumps from other translated blocks: checks events and the generation; null: not translated.</summary>
    public byte* NativeHead;

    public static Op* First(Block* block) => (Op*)block + 1;
}

/// <summary>What the meaning of code bytes depends on.</summary>
internal static class BlockMode
{
    public const uint Bits16 = 0;
    public const uint Bits32 = 1;
    public const uint Bits64 = 2;
    public const uint BitsMask = 3;
    /// <summary>One instruction per block: RFLAGS.TF or an interrupt shadow.</summary>
    public const uint Single = 4;
    /// <summary>CPL 3; matters to the jump cache only (pages may be inaccessible).</summary>
    public const uint User = 8;
    public const uint DecodeMask = BitsMask | Single;
}

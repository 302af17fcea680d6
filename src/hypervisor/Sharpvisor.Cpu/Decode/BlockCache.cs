// Decoded blocks of one VP by physical address and mode. Bounded: when the arena is full everything is dropped.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Sharpvisor.Cpu.Decode;

/// <summary>Native arena plus hash table. Owned by one VP's thread.</summary>
internal sealed unsafe class BlockCache : IDisposable
{
    private const int Buckets = 1 << 15;
    private const nuint ArenaBytes = 48 << 20;
    /// <summary>Room that a block may need: header, ops, fall-through op, raw bytes.</summary>
    private const nuint LargestBlock = ((BlockDecoder.MaxOps + 3) * 64) + 1024;

    private readonly byte* _arena = (byte*)NativeMemory.AlignedAlloc(ArenaBytes, 4096);
    private readonly Block** _buckets = (Block**)NativeMemory.AllocZeroed(Buckets, (nuint)sizeof(Block*));
    private nuint _used;

    public long Decoded { get; private set; }

    /// <summary>Blocks that turned out stale.</summary>
    public long Killed { get; private set; }

    /// <summary>How often everything was dropped.</summary>
    public long Dropped { get; private set; }

    /// <summary>True when <see cref="Reserve"/> would have to flush.</summary>
    public bool Full => _used + LargestBlock > ArenaBytes;

    /// <summary>Finds a block decoded for this address and mode; it may be stale.</summary>
    public Block* Find(ulong gpa, uint mode)
    {
        Block* block = *Bucket(gpa, mode);
        while (block != null && (block->Gpa != gpa || block->Mode != mode))
        {
            block = block->Next;
        }

        return block;
    }

    /// <summary>Zeroed room for the largest block. The caller has made sure that the cache is not <see cref="Full"/>.</summary>
    public Block* Reserve()
    {
        NativeMemory.Clear(_arena + _used, LargestBlock);
        return (Block*)(_arena + _used);
    }

    /// <summary>Keeps the reserved block, which ends at <paramref name="end"/>.</summary>
    public void Commit(Block* block, byte* end)
    {
        _used = (nuint)((end - _arena + 63) & ~63L);
        Block** bucket = Bucket(block->Gpa, block->Mode);
        block->Next = *bucket;
        *bucket = block;
        Decoded++;
    }

    /// <summary>Takes a stale block out; jumps chained to it notice by its generation.</summary>
    public void Kill(Block* block)
    {
        Block** link = Bucket(block->Gpa, block->Mode);
        while (*link != null && *link != block)
        {
            link = &(*link)->Next;
        }

        if (*link == block)
        {
            *link = block->Next;
        }

        block->Generation = 0;
        Killed++;
    }

    /// <summary>Drops all blocks. Nothing may hold a pointer to one afterwards.</summary>
    public void Flush()
    {
        NativeMemory.Clear(_buckets, Buckets * (nuint)sizeof(Block*));
        _used = 0;
        Dropped++;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_arena);
        NativeMemory.Free(_buckets);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Block** Bucket(ulong gpa, uint mode) =>
        &_buckets[(uint)(((gpa ^ (gpa >> 15)) + (mode * 0x9E3UL)) & (Buckets - 1))];
}

// From RIP to a decoded block: jump cache, block cache, decoder.
using System.Diagnostics;
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

internal sealed unsafe partial class Vp
{
    public const int JumpEntries = 4096;

    private readonly BlockCache _blocks = new();
    private readonly BlockDecoder _decoder = new();
    private long _longestDrop;
    private readonly byte[] _window = new byte[BlockDecoder.WindowBytes];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static JumpEntry* JumpSlot(LazyFlags* lazy, ulong linear) =>
        lazy->JumpCache + ((linear ^ (linear >> 12)) & (JumpEntries - 1));

    /// <summary>What an entry must carry to be current.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong JumpTag(EngineBlock* engine) =>
        ((engine->TlbGeneration + (engine->Lazy.JumpEpoch << 32)) << 4) | engine->Lazy.Mode;

    /// <summary>
    /// After a store to a page with tracked code: the running block may hold the bytes just written, and its remaining ops
    /// must not run (Intel SDM Vol. 3A, 8.1.3: self-modifying code works on the next instruction).
    /// </summary>
    public void CodeWritten(ulong gpa, int bytes)
    {
        Block* block = _lazy->CurrentBlock;
        if (block == null || block->Generation == 0 || gpa >= block->Gpa + block->Bytes || gpa + (uint)bytes <= block->Gpa)
        {
            return;
        }

        Kill(block);
        Op* op = Block.First(block);
        for (int i = 0; i <= block->Ops; i++)
        {
            if ((byte*)(op + i) < block->Raw)
            {
                op[i].Handler = &Branch.Resynchronise;
                op[i].Native = null;
            }
        }
    }

    /// <summary>The first op at RIP with Gpr[17] set; null: the fetch raised a fault.</summary>
    private Op* EnterBlock(VpState* s, bool single)
    {
        uint mode = CurrentMode(s, single);
        _lazy->Mode = mode;
        ulong rip = s->Rip;
        ulong linear = rip;
        if ((mode & BlockMode.BitsMask) != BlockMode.Bits64)
        {
            SegmentRegister* cs = VpState.Seg(s, Segment.Cs);
            if (rip > cs->Limit)
            {
                Faults.Record(s, Vector.GP, 0);
                return null;
            }

            linear = (uint)(cs->Base + rip);
        }

        JumpEntry* entry = JumpSlot(_lazy, linear);
        Block* block = entry->Block;
        if (entry->Rip != linear || entry->Tag != JumpTag(_engine) || *block->GenerationAddress != block->Generation)
        {
            block = FindBlock(s, linear, mode);
            if (block == null)
            {
                return null;
            }

            if (block->FirstPageBytes == 0)
            {
                entry = JumpSlot(_lazy, linear);
                entry->Rip = linear;
                entry->Tag = JumpTag(_engine);
                entry->Block = block;
            }
        }

        s->Gpr[17] = rip - (linear & 0xFFF);
        _lazy->CurrentBlock = block;
        return Block.First(block);
    }

    private static uint CurrentMode(VpState* s, bool single)
    {
        uint attributes = VpState.Seg(s, Segment.Cs)->Attributes;
        const ulong lma = 1 << 10;
        uint mode = (s->Efer & lma) != 0 && (attributes & 0x200) != 0 ? BlockMode.Bits64
            : (attributes & 0x400) != 0 ? BlockMode.Bits32
            : BlockMode.Bits16;
        return mode | (single ? BlockMode.Single : 0) | (s->Cpl == 3 ? BlockMode.User : 0);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private Block* FindBlock(VpState* s, ulong linear, uint mode)
    {
        if (!GuestAccess.TranslateCode(s, linear, out ulong gpa, out byte* host))
        {
            return null;
        }

        if (host == null)
        {
            // Nothing is there: reads give all ones, and FF FF is undefined.
            Faults.Record(s, Vector.UD);
            return null;
        }

        uint* generationAddress = Memory.CodeGenerationAddress(gpa >> GuestMemory.PageShift);
        Block* block = _blocks.Find(gpa, mode & BlockMode.DecodeMask);
        if (block != null)
        {
            if (block->FirstPageBytes != 0)
            {
                return FindCrossing(s, block, linear, mode, gpa, host);
            }

            // The host page as well: a layout change (ROM mapped, page unmapped) does not change the generation.
            if ((block->Host == host && *generationAddress == block->Generation) || Revalidate(block, host))
            {
                return block;
            }
        }

        return DecodeBlock(s, linear, mode, gpa, host);
    }

    /// <summary>Forgets all code. Not while a block is running.</summary>
    private void DropBlocks()
    {
        long start = Stopwatch.GetTimestamp();
        _blocks.Flush();
        _translator?.Flush();
        _lazy->JumpEpoch++;
        ForgetNativeJumps();
        _pendingLink = 0;
        _lazy->CurrentBlock = null;
        _longestDrop = Math.Max(_longestDrop, Stopwatch.GetElapsedTime(start).Ticks);
    }

    private void Kill(Block* block)
    {
        _blocks.Kill(block);
        _translator?.Retire(block);
    }

    /// <summary>The page was written to: is this block's part still the same?</summary>
    private bool Revalidate(Block* block, byte* host)
    {
        // The generation first: a write after it makes the next entry compare again.
        uint generation = Volatile.Read(ref *block->GenerationAddress);
        if (block->Host == host
            && new ReadOnlySpan<byte>(host, block->Bytes).SequenceEqual(new ReadOnlySpan<byte>(block->Raw, block->Bytes)))
        {
            // While stores may go unannounced, the comparison holds for this entry only.
            if (GuestMemory.IsSettled(generation))
            {
                block->Generation = generation;
                _translator?.UpdateGeneration(block);
            }

            return true;
        }

        Kill(block);
        return false;
    }

    private Block* FindCrossing(VpState* s, Block* block, ulong linear, uint mode, ulong gpa, byte* host)
    {
        int first = (int)block->FirstPageBytes;
        int rest = block->Bytes - first;
        bool same = block->Host == host
            && new ReadOnlySpan<byte>(host, first).SequenceEqual(new ReadOnlySpan<byte>(block->Raw, first));
        if (same)
        {
            if (!GuestAccess.TranslateCode(s, linear + (uint)first, out _, out byte* second))
            {
                return null;
            }

            same = second != null
                && new ReadOnlySpan<byte>(second, rest).SequenceEqual(new ReadOnlySpan<byte>(block->Raw + first, rest));
        }

        if (same)
        {
            return block;
        }

        Kill(block);
        return DecodeBlock(s, linear, mode, gpa, host);
    }

    private Block* DecodeBlock(VpState* s, ulong linear, uint mode, ulong gpa, byte* host)
    {
        if (_blocks.Full)
        {
            DropBlocks();
        }

        ulong gpn = gpa >> GuestMemory.PageShift;
        Block* block = _blocks.Reserve();
        block->GenerationAddress = Memory.CodeGenerationAddress(gpn);
        block->Generation = Memory.TrackCode(gpn);
        block->Gpa = gpa;
        block->Host = host;
        block->Mode = mode & BlockMode.DecodeMask;

        // Decode a private copy: another VP may be writing to the page.
        int offset = (int)(gpa & 0xFFF);
        int available = Math.Min(GuestMemory.PageBytes - offset, BlockDecoder.WindowBytes);
        new ReadOnlySpan<byte>(host, available).CopyTo(_window);
        fixed (byte* window = _window)
        {
            bool crossing = false;
            if (!_decoder.Decode(block, window, available, offset, lastWindow: available > 15))
            {
                if (!GuestAccess.TranslateCode(s, linear + (uint)available, out _, out byte* second))
                {
                    return null;
                }

                int more = 0;
                if (second != null)
                {
                    more = 15;
                    new ReadOnlySpan<byte>(second, more).CopyTo(_window.AsSpan(available));
                }

                block->Mode |= BlockMode.Single;
                _ = _decoder.Decode(block, window, available + more, offset, lastWindow: true);
                block->Mode = mode & BlockMode.DecodeMask;
                crossing = block->Bytes > available;
            }

            block->FirstPageBytes = crossing ? (uint)available : 0;
        }

        _blocks.Commit(block, block->Raw + block->Bytes);
        return block;
    }
}

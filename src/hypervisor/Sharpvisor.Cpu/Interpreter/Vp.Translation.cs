// The dispatch loop of an engine with a translator: enters host code where an op has some, interprets where not.
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.Translator;

namespace Sharpvisor.Cpu.Interpreter;

internal sealed unsafe partial class Vp
{
    private readonly BlockTranslator? _translator;

    private ulong _pendingLink;
    private ulong _pendingLinkRip;
    private ulong _pendingLinkGpa;

    /// <summary>Code memory is full: start over at the next block boundary.</summary>
    private bool _dropBlocks;

    /// <summary>As <see cref="Dispatch"/>. Null: the run loop goes on at RIP, with events and blocks looked at anew.</summary>
    private Op* DispatchTranslated(VpState* s, Op* op, BlockTranslator translator)
    {
        ulong link = TakePendingLink(s, op);
        while (true)
        {
            bool head = op->HeaderDistance == 1;
            if (op->Native != null || (head && Warm(op, translator)))
            {
                if (head)
                {
                    Remember(s, op);
                    if (link != 0)
                    {
                        translator.Link(link, (Block*)(op - 1));
                    }
                }

                op = RunNative(s, op, translator);
                if (((nuint)op & 1) != 0)
                {
                    CountHeadExit(s);
                    s->Rip = s->Gpr[17] + ((Op*)((nuint)op & ~(nuint)1))->PageOffset;
                    return null;
                }

                link = _engine->ExitLink;
            }
            else
            {
                link = 0;
            }

            ulong pageBase = s->Gpr[17];
            CountInterpreted(op);
            Op* next = op->Handler(s, op);
            if (next == null)
            {
                _pendingLink = link;
                _pendingLinkRip = s->Rip;
                _pendingLinkGpa = link != 0 ? BlockOf(op)->Gpa : 0;
                return op;
            }

            // A branch and the target it is bound to share a page, so the link stays right for as long as both blocks live.
            link = next->HeaderDistance == 1 && s->Gpr[17] == pageBase ? link : 0;
            op = next;
        }
    }

    /// <summary>A branch left host code for a block that only the run loop could find: it is bound now if this is that block.</summary>
    private ulong TakePendingLink(VpState* s, Op* op)
    {
        ulong link = _pendingLink;
        _pendingLink = 0;
        return link != 0 && op->HeaderDistance == 1 && s->Gpr[17] + op->PageOffset == _pendingLinkRip
            && (BlockOf(op)->Gpa ^ _pendingLinkGpa) < 4096 ? link : 0;
    }

    private Op* RunNative(VpState* s, Op* op, BlockTranslator translator)
    {
        uint entered = op->Heat;
        _entries++;
        op = translator.Enter(s, op->Native, FlagsImage(_lazy));
        SetFlagsImage(_lazy, _engine->ExitFlags);
        if (_engine->ContextStale != 0)
        {
            Mmu.UpdateContext();
        }

        Op* left = (Op*)((nuint)op & ~(nuint)1);
        _lazy->CurrentBlock = BlockOf(left);

        // Host code counts ahead to the next branch (BlockTranslator.CountAhead); the interpreter counts a block as it leaves it.
        _lazy->Instructions += _engine->ExitInstructions + entered - (left == op ? left->Heat : 0UL);
        return op;
    }

    /// <summary>Lets translated code find this block the next time.</summary>
    private void Remember(VpState* s, Op* op)
    {
        Block* block = (Block*)(op - 1);
        ulong rip = s->Gpr[17] + op->PageOffset;
        NativeJump* jump = _engine->NativeJumps + ((rip ^ (rip >> 12)) & (NativeJump.Entries - 1));
        if (jump->Rip != rip && jump->Key != ulong.MaxValue)
        {
            // The other way of the set: what is found here last goes first.
            _engine->NativeJumps[(jump - _engine->NativeJumps) ^ 1] = *jump;
        }

        jump->Rip = rip;
        jump->Key = CodeEntry.KeyOf(rip, (ulong)block->Host);
        jump->PageBase = s->Gpr[17];
        jump->Native = block->NativeHead;
        Mmu.RefillCode(rip);
    }

    /// <summary>All ones: a key that no cached page has. Zeros would be one, a guest's jump to address 0 found an entry with them.</summary>
    private void ForgetNativeJumps()
    {
        if (_engine->NativeJumps != null)
        {
            NativeMemory.Fill(_engine->NativeJumps, (nuint)(NativeJump.Entries * sizeof(NativeJump)), byte.MaxValue);
        }
    }

    /// <summary>Counts entries to a block that is not translated, and translates it when there were enough.</summary>
    private bool Warm(Op* op, BlockTranslator translator)
    {
        Block* block = BlockOf(op);
        if (block->NativeHead != null || block->Mode != BlockMode.Bits64 || ++op->Heat < translator.Threshold
            || block->FirstPageBytes != 0 || block->Generation == 0)
        {
            return false;
        }

        if (translator.Full)
        {
            _dropBlocks = true;
            return false;
        }

        translator.Translate(block);
        return op->Native != null;
    }

    private static Block* BlockOf(Op* op) => (Block*)(op - op->HeaderDistance);

    /// <summary>The lazy flags in the form <see cref="Host"/> describes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong FlagsImage(LazyFlags* lazy)
    {
        ulong carries = lazy->Carries;
        ulong value = lazy->Result ^ lazy->Delta;
        ulong zero = lazy->Result == 0 ? 1UL : 0UL;
        ulong parity = (uint)~BitOperations.PopCount((uint)(byte)value) & 1;
        ulong ah = (carries >> 63) | (parity << 2) | ((carries & 8) << 1) | (zero << 6) | ((value >> 63) << 7);
        return (ah << 8) | ((carries ^ (carries << 1)) >> 63);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SetFlagsImage(LazyFlags* lazy, ulong image)
    {
        ulong ah = image >> 8;
        ulong carry = ah & 1;
        ulong result = ((ah >> 6) & 1) ^ 1;
        lazy->Result = result;
        lazy->Delta = (((ah >> 7) & 1) << 63) | (result ^ ((ah >> 2) & 1) ^ 1);
        lazy->Carries = (carry << 63) | ((carry ^ (image & 1)) << 62) | ((ah & 0x10) >> 1);
    }
}

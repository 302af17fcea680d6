// The engine's counters for --stats: blocks, TLB, and why translated code was left.
using System.Runtime.CompilerServices;
using Iced.Intel;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Translator;

namespace Sharpvisor.Cpu.Interpreter;

internal sealed unsafe partial class Vp
{
    /// <summary>The most frequent instructions that left translated code are reported by name.</summary>
    private const int ReportedInstructions = 32;

    /// <summary>How often an instruction of a translated block was interpreted, by Code; null without a translator.</summary>
    private readonly long* _interpreted;
    private long _entries;
    private long _eventExits;
    private long _staleExits;
    private long _coldInstructions;

    /// <inheritdoc/>
    public void AddStatistics(Statistics statistics)
    {
        ArgumentNullException.ThrowIfNull(statistics);
        statistics["cpu.blocks.decoded"].Add(_blocks.Decoded);
        statistics["cpu.blocks.stale"].Add(_blocks.Killed);
        statistics["cpu.blocks.drops"].Add(_blocks.Dropped);
        statistics["cpu.blocks.longest_drop_us"].Add(_longestDrop / TimeSpan.TicksPerMicrosecond);
        statistics["cpu.tlb.misses"].Add(Mmu.Misses);
        statistics["cpu.tlb.flushes"].Add(Mmu.Flushes);
        if (_translator == null)
        {
            return;
        }

        statistics["cpu.translator.blocks"].Add(_translator.Blocks);
        statistics["cpu.translator.bytes"].Add(_translator.CodeBytes);
        statistics["cpu.translator.drops"].Add(_translator.Flushes);
        statistics["cpu.exits.total"].Add(_entries);
        statistics["cpu.exits.event"].Add(_eventExits);
        statistics["cpu.exits.stale_code"].Add(_staleExits);
        statistics["cpu.translator.bytes_emitted.tlb_checks"].Add(_translator.TlbBytes);
        statistics["cpu.translator.bytes_emitted.flags"].Add(_translator.FlagBytes);
        statistics["cpu.translator.bytes_emitted.block_heads"].Add(_translator.HeadBytes);
        statistics["cpu.translator.bytes_emitted.indirect_jumps"].Add(_translator.LookupBytes);
        statistics["cpu.translator.bytes_emitted.out_of_line"].Add(_translator.ColdBytes);
        statistics["cpu.translator.bytes_emitted.total"].Add(_translator.TotalBytes);
        statistics["cpu.interpreted.not_translated_yet"].Add(_coldInstructions);
        for (int code = 0; code < HandlerTable.Capacity; code++)
        {
            if (_interpreted[code] != 0)
            {
                statistics["cpu.interpreted." + ReasonOf(NativeForm.Of((ushort)code).Kind)].Add(_interpreted[code]);
            }
        }

        foreach (int code in Enumerable.Range(0, HandlerTable.Capacity).OrderByDescending(c => _interpreted[c]).Take(ReportedInstructions))
        {
            if (_interpreted[code] != 0)
            {
                statistics["cpu.interpreted.by_instruction." + (Code)code].Add(_interpreted[code]);
            }
        }
    }

    private static string ReasonOf(NativeKind kind) => kind switch
    {
        NativeKind.None => "no_host_code",
        >= NativeKind.Jcc and <= NativeKind.Ret => "branch_target",
        _ => "memory_or_check",
    };

    private void CountHeadExit(VpState* s)
    {
        if (Volatile.Read(ref s->PendingEvents) != 0)
        {
            _eventExits++;
        }
        else
        {
            _staleExits++;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void CountInterpreted(Op* op)
    {
        if (BlockOf(op)->NativeHead == null)
        {
            _coldInstructions++;
        }
        else
        {
            _interpreted[op->Code]++;
        }
    }
}

// Two engines on one VP, block by block: the leader lives in the world, the follower repeats each step from the leader's
// intercepts and on its own view of memory; after each step all registers must be equal, every so often all memory written.
// docs/cpu.md, "Lockstep", says what this cannot see.
using System.Globalization;
using System.Text;
using Iced.Intel;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.Lockstep;

internal sealed unsafe class LockstepEngine : IVpEngine
{
    /// <summary>Memory is compared after so many steps, or when so many pages were written.</summary>
    private const int StepsBetweenComparisons = 256;
    private const int PagesBetweenComparisons = 48;
    /// <summary>The engines may cut blocks differently, but not so differently.</summary>
    private const int MaximumCatchingUp = 256;
    private const int HistoryLength = 16;

    private readonly InterceptLog _log = new();
    private readonly RecordingIntercepts _recording;
    private readonly ReplayingIntercepts _replaying;
    private readonly ShadowMemory _memory;
    private readonly Vp _leader;
    private readonly Vp _follower;
    private readonly Lock _eventLock = new();
    private readonly (long Instructions, ulong Rip)[] _history = new (long, ulong)[HistoryLength];
    private readonly List<nint> _followerBlocks = [];
    private VpEvents _kicked;
    private bool _inRun;
    private bool _leaderRuns;
    private long _steps;
    private long _compared;

    /// <param name="leader">Creates the engine under test on the partition's memory.</param>
    /// <param name="follower">Creates the one it is compared with.</param>
    public LockstepEngine(
        GuestMemory memory,
        IVpIntercepts intercepts,
        Func<GuestMemory, IVpIntercepts, Vp> leader,
        Func<GuestMemory, IVpIntercepts, Vp> follower)
    {
        _recording = new RecordingIntercepts(intercepts, _log);
        _replaying = new ReplayingIntercepts(_log);
        _memory = new ShadowMemory(memory, () => _leaderRuns && !_recording.Inside);
        _leader = leader(memory, _recording);
        _follower = follower(_memory.Follower, _replaying);
        _recording.State = _leader.State;
        _replaying.State = _follower.State;
        Func<ulong> random = _leader.Random;
        _leader.Random = () => _recording.Note(InterceptKind.Random, random());
        _follower.Random = () => _replaying.Noted(InterceptKind.Random);
        _leader.Faulting = () => _recording.Note(InterceptKind.Fault, Flags.Read(_leader.State));
        _follower.Faulting = TakeFaultFlags;
        _memory.Separated = _follower.Mmu.DropPage;
    }

    /// <inheritdoc/>
    public VpState* State => _leader.State;

    /// <inheritdoc/>
    public long Instructions => _leader.Instructions;

    /// <inheritdoc/>
    public void AddStatistics(Statistics statistics) => _leader.AddStatistics(statistics);

    /// <summary>Steps whose registers were compared.</summary>
    public long Comparisons { get; private set; }

    /// <summary>Of these: where flags that the architecture leaves undefined were different.</summary>
    public long UndefinedDifferences { get; private set; }

    /// <inheritdoc/>
    /// <exception cref="LockstepException">The engines differ.</exception>
    public VpExit Run()
    {
        _memory.EnterVpThread();
        lock (_eventLock)
        {
            _inRun = true;
        }

        // What the hypervisor set between runs: reset, start-up, the boot protocol's registers.
        StateComparison.Copy(_leader.State, _follower.State);
        try
        {
            while (true)
            {
                _memory.ApplyLayoutChanges();
                if (!AdmitEvents())
                {
                    return VpExit.Event;
                }

                VpExit exit = Step();
                if (exit != VpExit.Event)
                {
                    CompareMemory();
                    return exit;
                }
            }
        }
        finally
        {
            lock (_eventLock)
            {
                _inRun = false;
                _leader.Kick(_kicked);
                _kicked = VpEvents.None;
            }
        }
    }

    /// <inheritdoc/>
    public void Kick(VpEvents events)
    {
        lock (_eventLock)
        {
            // While a step runs both engines must see the same events.
            if (_inRun)
            {
                _kicked |= events;
            }
            else
            {
                _leader.Kick(events);
            }
        }
    }

    /// <inheritdoc/>
    public void RequestTlbFlush()
    {
        _leader.RequestTlbFlush();
        _follower.RequestTlbFlush();
    }

    /// <inheritdoc/>
    public CpuidResult Cpuid(uint leaf, uint subleaf) => _leader.Cpuid(leaf, subleaf);

    /// <inheritdoc/>
    public void Reset(bool powerOn)
    {
        _leader.Reset(powerOn);
        _follower.Reset(powerOn);
    }

    public void Dispose()
    {
        _leader.Dispose();
        _follower.Dispose();
        _memory.Dispose();
    }

    /// <summary>Gives both engines the events that came in meanwhile. False: Stop was among them.</summary>
    private bool AdmitEvents()
    {
        lock (_eventLock)
        {
            uint events = (uint)_kicked | _leader.State->PendingEvents;
            _kicked = VpEvents.None;
            bool stop = (events & (uint)VpEvents.Stop) != 0;
            events = (events & ~(uint)VpEvents.Stop) | Vp.Pace;
            _leader.State->PendingEvents = events;
            _follower.State->PendingEvents = events;
            return !stop;
        }
    }

    private VpExit Step()
    {
        _history[_steps++ % HistoryLength] = (_leader.Instructions, _leader.State->Rip);
        _followerBlocks.Clear();
        VpExit exit = RunLeader();
        VpExit followed = RunFollower();
        for (int i = 0; _leader.Instructions != _follower.Instructions; i++)
        {
            if (i == MaximumCatchingUp)
            {
                throw Difference("instruction counts stay apart");
            }

            if (_leader.Instructions < _follower.Instructions)
            {
                exit = RunLeader();
            }
            else
            {
                followed = RunFollower();
            }
        }

        if (exit != followed || _leader.Halted != _follower.Halted)
        {
            throw Difference($"the leader ends with {exit}, the follower with {followed}");
        }

        if (_log.Count != 0)
        {
            throw Difference($"the follower did not do what the leader did: {_log}");
        }

        CompareRegisters();
        if (_steps - _compared >= StepsBetweenComparisons || _memory.Count >= PagesBetweenComparisons)
        {
            CompareMemory();
        }

        return exit;
    }

    private VpExit RunLeader()
    {
        _leaderRuns = true;
        VpExit exit = _leader.Run();
        _leaderRuns = false;
        return exit;
    }

    private VpExit RunFollower()
    {
        try
        {
            VpExit exit = _follower.Run();
            _followerBlocks.Add((nint)_follower.CurrentBlock);
            return exit;
        }
        catch (LockstepException e)
        {
            throw Difference(e.Message);
        }
    }

    private void CompareRegisters()
    {
        Comparisons++;
        VpState* a = _leader.State;
        VpState* b = _follower.State;
        if (!StateComparison.EqualButFlags(a, b))
        {
            throw Difference("registers differ");
        }

        if (a->RFlags == b->RFlags)
        {
            return;
        }

        if (((a->RFlags ^ b->RFlags) & ~UndefinedFlags()) != 0)
        {
            throw Difference("flags differ");
        }

        // From here on they are the same again, so that each difference is judged by the block that made it.
        b->RFlags = a->RFlags;
        UndefinedDifferences++;
    }

    /// <summary>An exception in mid-block stores flags that may be undefined; from then on they must be the same.</summary>
    private void TakeFaultFlags()
    {
        ulong leader = _replaying.Noted(InterceptKind.Fault);
        ulong difference = leader ^ Flags.Read(_follower.State);
        if (difference == 0)
        {
            return;
        }

        _followerBlocks.Add((nint)_follower.CurrentBlock);
        if ((difference & ~UndefinedFlags()) != 0)
        {
            throw new LockstepException(string.Create(
                CultureInfo.InvariantCulture, $"flags differ at a fault: leader {leader:x}, follower {Flags.Read(_follower.State):x}"));
        }

        Flags.Write(_follower.State, leader);
        UndefinedDifferences++;
    }

    private void CompareMemory()
    {
        if (_memory.FindDifference() is { } found)
        {
            throw Difference(string.Create(
                CultureInfo.InvariantCulture,
                $"memory differs at physical {found.Gpa:x}: leader {found.Leader:x16}, follower {found.Follower:x16}, written after instruction {_history[_compared % HistoryLength].Instructions} or later"));
        }

        _memory.Rejoin();
        _leader.Mmu.FlushAll();
        _follower.Mmu.FlushAll();
        _compared = _steps;
    }

    /// <summary>The bits of RFLAGS that the blocks just executed may leave in any state.</summary>
    private ulong UndefinedFlags()
    {
        RflagsBits undefined = RflagsBits.None;
        foreach (nint block in _followerBlocks)
        {
            foreach (Instruction instruction in Decode((Block*)block, 0))
            {
                undefined |= instruction.RflagsUndefined;
            }
        }

        // Iced numbers the flags its own way.
        return ((undefined & RflagsBits.CF) != 0 ? 0x001UL : 0)
            | ((undefined & RflagsBits.PF) != 0 ? 0x004UL : 0)
            | ((undefined & RflagsBits.AF) != 0 ? 0x010UL : 0)
            | ((undefined & RflagsBits.ZF) != 0 ? 0x040UL : 0)
            | ((undefined & RflagsBits.SF) != 0 ? 0x080UL : 0)
            | ((undefined & RflagsBits.OF) != 0 ? 0x800UL : 0);
    }

    private static List<Instruction> Decode(Block* block, ulong rip)
    {
        var instructions = new List<Instruction>();
        if (block == null)
        {
            return instructions;
        }

        int bits = (block->Mode & BlockMode.BitsMask) switch { BlockMode.Bits64 => 64, BlockMode.Bits32 => 32, _ => 16 };
        var decoder = Iced.Intel.Decoder.Create(bits, new ReadOnlySpan<byte>(block->Raw, block->Bytes).ToArray());
        decoder.IP = rip;
        for (int i = 0; i < block->Ops && decoder.IP < rip + block->Bytes; i++)
        {
            instructions.Add(decoder.Decode());
        }

        return instructions;
    }

    private LockstepException Difference(string what)
    {
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"lockstep: {what}");
        text.AppendLine(CultureInfo.InvariantCulture, $"after {_leader.Instructions} instructions of the leader, {_follower.Instructions} of the follower, {_steps} steps");
        text.Append("last steps began at (instructions: RIP):");
        for (long i = Math.Max(0, _steps - HistoryLength); i < _steps; i++)
        {
            (long instructions, ulong rip) = _history[i % HistoryLength];
            text.Append(CultureInfo.InvariantCulture, $" {instructions}: {rip:x};");
        }

        text.AppendLine().AppendLine("the follower's last block:");
        var formatter = new NasmFormatter();
        var output = new StringOutput();
        foreach (Instruction instruction in Decode(_follower.CurrentBlock, _history[(_steps - 1) % HistoryLength].Rip))
        {
            formatter.Format(instruction, output);
            text.AppendLine(CultureInfo.InvariantCulture, $"  {instruction.IP:x}  {output.ToStringAndReset()}");
        }

        StateComparison.Describe(text, _leader.State, _follower.State);
        return new LockstepException(text.ToString());
    }
}

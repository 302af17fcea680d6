// Generates sequences in batches, runs each on every runner and compares the results with the first runner's.
using System.Runtime.InteropServices;
using System.Globalization;
using System.Text;
using Iced.Intel;

namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed unsafe class DifferentialCampaign : IDisposable
{
    private const int BatchSequences = 1024;
    private const int MaximumShrinks = 300;

    private readonly Arena _arena;
    private readonly ISequenceRunner[] _runners;
    private readonly SequenceGenerator _generator;
    private readonly SequenceEncoder _encoder;
    private readonly HashSet<string> _reported = [];
    private int _shrinks;
    private readonly Sequence[] _batch = new Sequence[BatchSequences];

    /// <param name="arena">The address space all runners share.</param>
    /// <param name="catalog">Instructions to use.</param>
    /// <param name="runners">The reference first. The campaign disposes of them.</param>
    public DifferentialCampaign(Arena arena, InstructionCatalog catalog, params ISequenceRunner[] runners)
    {
        _arena = arena;
        _runners = runners;
        _generator = new SequenceGenerator(catalog, arena);
        _encoder = new SequenceEncoder(arena);
        for (int i = 0; i < _batch.Length; i++)
        {
            _batch[i] = new Sequence();
        }
    }

    public long Sequences { get; private set; }

    public long Instructions { get; private set; }

    /// <summary>Sequences that ended in an exception (the same one everywhere).</summary>
    public long Faulted { get; private set; }

    /// <summary>The same by vector.</summary>
    public long[] FaultsByVector { get; } = new long[32];

    public Dictionary<string, int> EncodingErrors { get; } = [];

    /// <summary>The seed of sequence <paramref name="index"/> of a campaign.</summary>
    public static ulong SeedOf(ulong campaign, long index) => new SplitMix(campaign ^ ((ulong)index * 0xD134_2543_DE82_EF95)).Next();

    /// <summary>Runs <paramref name="count"/> sequences; stops at the first batch with a difference.</summary>
    /// <param name="campaign">The seed of them all.</param>
    /// <param name="first">Index of the first sequence.</param>
    /// <param name="step">Distance between indices, for several threads.</param>
    /// <param name="count">How many.</param>
    /// <param name="maximumMismatches">Differences to collect before giving up.</param>
    public List<Mismatch> Run(ulong campaign, long first, long step, long count, int maximumMismatches = 1)
    {
        var found = new List<Mismatch>();
        long index = first;
        for (long done = 0; done < count && found.Count < maximumMismatches && _shrinks < MaximumShrinks;)
        {
            int filled = Fill(campaign, ref index, step, (int)Math.Min(BatchSequences, count - done));
            RunBatch(filled, found, maximumMismatches);
            done += filled;
        }

        return found;
    }

    /// <summary>Runs the one sequence a seed stands for.</summary>
    public Mismatch? RunSeed(ulong seed)
    {
        _generator.Generate(seed, _batch[0]);
        return Fails(_batch[0]) ? Shrink(_batch[0]) : null;
    }

    /// <summary>Runs one sequence made by hand; null when all runners agree.</summary>
    /// <exception cref="ArgumentException">It could reach outside the scratch buffer, or show something undefined.</exception>
    public Mismatch? RunOne(Sequence sequence)
    {
        if (!_generator.Verify(sequence))
        {
            throw new ArgumentException("not admissible", nameof(sequence));
        }

        return Fails(sequence) ? Shrink(sequence) : null;
    }

    public void Dispose()
    {
        foreach (ISequenceRunner runner in _runners)
        {
            runner.Dispose();
        }

        _arena.Release();
    }

    private int Fill(ulong campaign, ref long index, long step, int most)
    {
        _encoder.Reset();
        int filled = 0;
        while (filled < most && _encoder.HasRoom)
        {
            _generator.Generate(SeedOf(campaign, index), _batch[filled]);
            index += step;
            if (_encoder.TryAppend(_batch[filled]))
            {
                filled++;
            }
            else
            {
                CollectionsMarshal.GetValueRefOrAddDefault(
                    EncodingErrors, _encoder.LastError ?? "branch too far", out _)++;
            }
        }

        foreach (ISequenceRunner runner in _runners)
        {
            runner.LoadCode(_encoder.Code, _encoder.Terminators);
        }

        return filled;
    }

    private void RunBatch(int count, List<Mismatch> found, int maximumMismatches)
    {
        var failing = new List<Sequence>();
        Enter();
        for (int i = 0; i < count; i++)
        {
            if (!Agree(_batch[i]))
            {
                failing.Add(_batch[i]);
            }

            Sequences++;
            Instructions += _batch[i].Count;
            ulong vector = _runners[0].Output->Vector;
            if (vector < 32)
            {
                Faulted++;
                FaultsByVector[vector]++;
            }
        }

        Leave();
        foreach (Sequence sequence in failing)
        {
            if (found.Count >= maximumMismatches || _shrinks >= MaximumShrinks)
            {
                return;
            }

            // One report for each shrunk form: a broken instruction fails many times.
            _shrinks++;
            Mismatch mismatch = Shrink(sequence);
            if (_reported.Add(mismatch.Form))
            {
                found.Add(mismatch);
            }
        }
    }

    private bool Agree(Sequence sequence)
    {
        ulong end = _arena.Code + (ulong)sequence.EndOffset;
        bool agree = true;
        fixed (MachineState* initial = &sequence.Initial)
        {
            foreach (ISequenceRunner runner in _runners)
            {
                runner.Run(initial, end, MemoryPool.Address + sequence.MemoryOffset);
                agree &= runner == _runners[0] || StateComparer.Equal(sequence, _runners[0], runner);
            }
        }

        return agree;
    }

    private bool Fails(Sequence sequence)
    {
        _encoder.Reset();
        if (!_encoder.TryAppend(sequence))
        {
            return false;
        }

        foreach (ISequenceRunner runner in _runners)
        {
            runner.LoadCode(_encoder.Code, _encoder.Terminators);
        }

        Enter();
        bool agree = Agree(sequence);
        Leave();
        return !agree;
    }

    private void Enter()
    {
        foreach (ISequenceRunner runner in _runners)
        {
            runner.Enter();
        }
    }

    private void Leave()
    {
        foreach (ISequenceRunner runner in _runners)
        {
            runner.Leave();
        }
    }

    private Mismatch Shrink(Sequence failing)
    {
        Sequence small = new SequenceShrinker(_generator, Fails).Shrink(failing);
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"seed 0x{failing.Seed:x16}, {failing.Count} instructions, shrunk to {small.Count}:");
        var formatter = new NasmFormatter();
        var output = new StringOutput();
        var lines = new List<string>();
        for (int i = 0; i < small.Count; i++)
        {
            formatter.Format(small.Items[i], output);
            lines.Add(output.ToStringAndReset());
            text.AppendLine(CultureInfo.InvariantCulture, $"  {i,2}  {lines[i]}    ; {small.Items[i].Code}");
        }

        text.AppendLine("initial state that is not zero:");
        InitialText.Append(text, small);
        text.AppendLine("difference:");
        bool reproduced = Fails(small);
        foreach (ISequenceRunner runner in _runners.AsSpan(1))
        {
            if (!StateComparer.Equal(small, _runners[0], runner))
            {
                text.Append(StateComparer.Describe(small, _runners[0], runner, _arena.Buffer));
            }
        }

        if (!reproduced)
        {
            text.AppendLine("  (not seen again when run alone)");
        }

        return new Mismatch(failing.Seed, lines, string.Join(' ', small.Items.Take(small.Count).Select(static i => i.Code)), text.ToString());
    }
}

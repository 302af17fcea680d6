// Interpreter and translator against the host CPU over random instruction sequences, and proof that the comparison can fail.
// SHARPVISOR_DIFF_SEQUENCES sets how many sequences, SHARPVISOR_DIFF_MINUTES for how long instead, SHARPVISOR_DIFF_SEED
// (hexadecimal) other ones; see tests/differential.
using System.Diagnostics;
using System.Globalization;
using Iced.Intel;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter;
using Sharpvisor.Cpu.Translator;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Differential;

[Collection(nameof(DifferentialCollection))]
public sealed unsafe class InterpreterDifferentialTests
{
    private const long DefaultSequences = 2_000_000;
    private const long DefaultThreeWaySequences = 200_000;
    private const ulong DefaultSeed = 0x5AA5_2026;

    [Fact]
    public void The_interpreter_agrees_with_the_host_over_random_sequences() => Compare(CreateForInterpreter, DefaultSequences);

    [Fact]
    public void Host_interpreter_and_translator_agree_over_random_sequences() => Compare(CreateThreeWay, DefaultThreeWaySequences);

    private static void Compare(Func<Func<InstructionClass, Code, bool>?, DifferentialCampaign> create, long defaultSequences)
    {
        var limit = TimeSpan.FromMinutes(Setting("SHARPVISOR_DIFF_MINUTES", NumberStyles.Integer, 0));
        long sequences = (long)Setting("SHARPVISOR_DIFF_SEQUENCES", NumberStyles.Integer, (ulong)defaultSequences);
        ulong seed = Setting("SHARPVISOR_DIFF_SEED", NumberStyles.HexNumber, DefaultSeed);
        int maximum = (int)Setting("SHARPVISOR_DIFF_MISMATCHES", NumberStyles.Integer, 5);
        int workers = Math.Clamp(Environment.ProcessorCount, 1, Arena.MaximumCount);
        var found = new List<Mismatch>();
        long done = 0;
        long instructions = 0;
        long faults = 0;
        var watch = Stopwatch.StartNew();
        var threads = new Thread[workers];
        Exception? failure = null;
        for (int i = 0; i < workers; i++)
        {
            int worker = i;
            threads[i] = new Thread(() =>
            {
                try
                {
                    using DifferentialCampaign campaign = create(Filter());
                    List<Mismatch> mine = RunFor(campaign, seed, worker, workers, limit, sequences / workers, maximum);
                    lock (found)
                    {
                        found.AddRange(mine);
                        done += campaign.Sequences;
                        instructions += campaign.Instructions;
                        faults += campaign.Faulted;
                    }
                }
                catch (Exception e)
                {
                    failure = e;
                    throw;
                }
            });
            threads[i].Start();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        Assert.Null(failure);
        Write($"seed {seed:x}: {done} sequences, {instructions} instructions, {faults} ending in an exception, {watch.Elapsed.TotalSeconds:F1} s");
        Assert.True(found.Count == 0, string.Join(Environment.NewLine, found.Select(static m => m.Report)));
    }

    private static List<Mismatch> RunFor(
        DifferentialCampaign campaign, ulong seed, int worker, int workers, TimeSpan limit, long count, int maximum)
    {
        if (limit == TimeSpan.Zero)
        {
            return campaign.Run(seed, worker, workers, count, maximum);
        }

        const long portion = 20_000;
        var found = new List<Mismatch>();
        var watch = Stopwatch.StartNew();
        for (long i = 0; watch.Elapsed < limit && found.Count < maximum; i++)
        {
            found.AddRange(campaign.Run(seed, worker + (i * portion * workers), workers, portion, maximum));
        }

        return found;
    }

    [Fact]
    public void A_broken_instruction_is_found_and_shrunk()
    {
        HandlerTable table = HandlerTable.Instance;
        var memory = table.Find(Code.Adc_rm32_r32, OpFlags.Memory);
        var flat = table.Find(Code.Adc_rm32_r32, OpFlags.Memory | OpFlags.Flat);
        var register = table.Find(Code.Adc_rm32_r32, OpFlags.None);
        try
        {
            // ADD in its place: wrong whenever carry is set.
            table.Add(Code.Adc_rm32_r32, table.Find(Code.Add_rm32_r32, OpFlags.None), memory, flat);
            using DifferentialCampaign campaign = CreateForInterpreter(null);
            Mismatch found = Assert.Single(campaign.Run(DefaultSeed, 0, 1, 100_000));
            Write(found.Report);
            string instruction = Assert.Single(found.Instructions);
            Assert.StartsWith("adc ", instruction, StringComparison.Ordinal);
            Assert.Contains($"0x{found.Seed:x16}", found.Report, StringComparison.Ordinal);
        }
        finally
        {
            table.Add(Code.Adc_rm32_r32, register, memory, flat);
        }
    }

    private static DifferentialCampaign CreateForInterpreter(Func<InstructionClass, Code, bool>? filter)
    {
        Arena arena = Arena.Acquire();
        var guest = new GuestRunner("interpreter", arena, new InterpreterEngineFactory());
        return new DifferentialCampaign(arena, new InstructionCatalog(guest.Cpuid, filter), new HostRunner(arena), guest);
    }

    private static DifferentialCampaign CreateThreeWay(Func<InstructionClass, Code, bool>? filter)
    {
        Arena arena = Arena.Acquire();
        var interpreter = new GuestRunner("interpreter", arena, new InterpreterEngineFactory());
        var translator = new GuestRunner("translator", arena, new TranslatorEngineFactory(threshold: 1));
        var catalog = new InstructionCatalog(translator.Cpuid, filter);
        return new DifferentialCampaign(
            arena, catalog, new HostRunner(arena), interpreter, translator, new AgainRunner(translator));
    }

    // SHARPVISOR_DIFF_CLASSES=Alu,Shift runs only these classes, SHARPVISOR_DIFF_WITHOUT=Fbld,Cmpsd leaves mnemonics out.
    private static Func<InstructionClass, Code, bool>? Filter()
    {
        HashSet<string> classes = Names("SHARPVISOR_DIFF_CLASSES");
        HashSet<string> without = Names("SHARPVISOR_DIFF_WITHOUT");
        return (kind, code) => (classes.Count == 0 || classes.Contains(kind.ToString()))
            && !without.Contains(kind.ToString()) && !without.Contains(code.ToOpCode().Mnemonic.ToString());
    }

    private static HashSet<string> Names(string variable) =>
        (Environment.GetEnvironmentVariable(variable) ?? string.Empty)
            .Split(',', StringSplitOptions.RemoveEmptyEntries).ToHashSet(StringComparer.OrdinalIgnoreCase);

    private static ulong Setting(string name, NumberStyles style, ulong otherwise) =>
        ulong.TryParse(Environment.GetEnvironmentVariable(name), style, CultureInfo.InvariantCulture, out ulong value) ? value : otherwise;

    private static void Write(string line) => TestContext.Current.TestOutputHelper?.WriteLine(line);
}

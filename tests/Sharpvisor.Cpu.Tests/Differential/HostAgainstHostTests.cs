// The harness against itself: run twice on the host CPU, every sequence must give the same result, or the generator lets
// something undefined through. A runner that spoils one instruction's result must be found out.
using System.Runtime.CompilerServices;
using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Differential;

[Collection(nameof(DifferentialCollection))]
public sealed class HostAgainstHostTests
{
    private const ulong Seed = 0x0BAD_5EED;

    [Fact]
    public void The_host_agrees_with_itself()
    {
        Arena arena = Arena.Acquire();
        var host = new HostRunner(arena);
        using var campaign = new DifferentialCampaign(arena, new InstructionCatalog(EverythingOffered), host, new Replay(host));
        List<Mismatch> found = campaign.Run(Seed, 0, 1, 20_000);
        Assert.True(found.Count == 0, found.Count == 0 ? string.Empty : found[0].Report);
        Assert.True(campaign.Faulted < campaign.Sequences / 5, $"{campaign.Faulted} of {campaign.Sequences} sequences fault");
        foreach ((string error, int count) in campaign.EncodingErrors.OrderByDescending(static e => e.Value).Take(10))
        {
            TestContext.Current.TestOutputHelper?.WriteLine($"{count} {error}");
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{campaign.Instructions} instructions, {campaign.Faulted} faults: {string.Join(' ', campaign.FaultsByVector)}");
    }

    private static CpuidResult EverythingOffered(uint leaf, uint subleaf) => new(uint.MaxValue, uint.MaxValue, uint.MaxValue, uint.MaxValue);

    // Runs on the same host runner, then compares with a copy of what its first run left.
    private sealed unsafe class Replay(HostRunner host) : ISequenceRunner
    {
        private readonly byte[] _memory = GC.AllocateArray<byte>(Arena.BufferBytes, pinned: true);
        private readonly byte[] _output = GC.AllocateArray<byte>(MachineState.Bytes, pinned: true);

        public string Name => "again";

        public MachineState* Output => (MachineState*)Unsafe.AsPointer(ref _output[0]);

        public byte* BufferPage(int page) =>
            (byte*)Unsafe.AsPointer(ref _memory[page * Arena.PageBytes]);

        public void LoadCode(ReadOnlySpan<byte> code, ReadOnlySpan<int> terminators)
        {
        }

        public void Enter()
        {
        }

        public void Leave()
        {
        }

        public void Run(MachineState* initial, ulong end, byte* memory)
        {
            new Span<byte>(host.Output, MachineState.Bytes).CopyTo(_output);
            new Span<byte>(host.BufferPage(0), Arena.BufferBytes).CopyTo(_memory);
            host.Run(initial, end, memory);
        }

        public void Dispose()
        {
        }
    }
}

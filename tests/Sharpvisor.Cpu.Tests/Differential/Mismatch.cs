// A difference between two runners, shrunk, as the harness reports it.
namespace Sharpvisor.Cpu.Tests.Differential;

/// <param name="Seed">Regenerates the original sequence.</param>
/// <param name="Instructions">The shrunk sequence's instructions, as text.</param>
/// <param name="Form">Their codes: two mismatches of one form have most likely one cause.</param>
/// <param name="Report">All of it: seed, disassembly, initial state, what differs.</param>
internal sealed record Mismatch(ulong Seed, IReadOnlyList<string> Instructions, string Form, string Report);

// The differential tests run alone: they replace signal handlers and, in one case, an instruction's handler.
using Xunit;

namespace Sharpvisor.Cpu.Tests.Differential;

[CollectionDefinition(nameof(DifferentialCollection), DisableParallelization = true)]
public sealed class DifferentialCollection;

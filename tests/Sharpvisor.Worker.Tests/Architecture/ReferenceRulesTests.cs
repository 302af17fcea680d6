// ARCHITECTURE.md, "Who may reference whom", asserted over the built assemblies.
using System.Reflection;
using Xunit;

namespace Sharpvisor.Worker.Tests.Architecture;

public sealed class ReferenceRulesTests
{
    private const string Core = "Sharpvisor.Core";

    private static readonly Dictionary<string, string[]> s_allowed = new(StringComparer.Ordinal)
    {
        [Core] = [],
        ["Sharpvisor.Hypervisor"] = [Core],
        ["Sharpvisor.Cpu"] = [Core],
        ["Sharpvisor.Devices"] = [Core, "Sharpvisor.Storage"],
        ["Sharpvisor.Display"] = [Core],
        ["Sharpvisor.VMBus"] = [Core],
        ["Sharpvisor.Storage"] = [Core],
        ["Sharpvisor.Network"] = [Core],
        ["Sharpvisor.Vsp"] = [Core, "Sharpvisor.VMBus", "Sharpvisor.Storage"],
        ["Sharpvisor.Vsc"] = [Core, "Sharpvisor.VMBus"],
        ["Sharpvisor.Worker"] =
        [
            Core, "Sharpvisor.Hypervisor", "Sharpvisor.Cpu", "Sharpvisor.Devices", "Sharpvisor.VMBus", "Sharpvisor.Storage", "Sharpvisor.Vsp",
            "Sharpvisor.Display", "Sharpvisor.Network",
        ],
        ["sharpvisor"] = [Core, "Sharpvisor.Worker"],
    };

    public static TheoryData<string> Assemblies => [.. s_allowed.Keys];

    [Theory]
    [MemberData(nameof(Assemblies))]
    public void An_assembly_references_only_what_the_architecture_allows(string name)
    {
        IEnumerable<string> references = Assembly.Load(name).GetReferencedAssemblies()
            .Select(a => a.Name!)
            .Where(a => a.StartsWith("Sharpvisor", StringComparison.OrdinalIgnoreCase));

        Assert.Empty(references.Except(s_allowed[name], StringComparer.Ordinal));
    }

    [Fact]
    public void Unsafe_code_is_only_in_Core_and_Cpu()
    {
        string[] allowed = [Core, "Sharpvisor.Cpu"];
        IEnumerable<string> offenders = s_allowed.Keys
            .Except(allowed, StringComparer.Ordinal)
            .Where(n => Assembly.Load(n).Modules.Any(HasUnverifiableCode));

        Assert.Empty(offenders);
    }

    // The compiler marks a module that was compiled with AllowUnsafeBlocks.
    private static bool HasUnverifiableCode(Module module) =>
        module.CustomAttributes.Any(a => a.AttributeType.FullName == "System.Security.UnverifiableCodeAttribute");
}

// The command line (contract in ARCHITECTURE.md): serial output goes to stdout, everything else to stderr.
using System.CommandLine;
using Sharpvisor.Cli.Commands;

namespace Sharpvisor.Cli;

internal static class Program
{
    private static Task<int> Main(string[] arguments)
    {
        var root = new RootCommand("Boots Linux images the way Hyper-V does, on a CPU of our own, and says what it costs.")
        {
            RunCommand.Create(),
            CtlCommand.Create(),
            CompareCommand.Create(),
            DemoCommand.Create(),
        };
        ParseResult parsed = root.Parse(arguments);
        if (parsed.Errors.Count > 0)
        {
            Console.Error.WriteLine($"sharpvisor: {parsed.Errors[0].Message}");
            return Task.FromResult(ExitStatus.BadInput);
        }

        return parsed.InvokeAsync();
    }
}

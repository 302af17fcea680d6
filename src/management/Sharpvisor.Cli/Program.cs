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
            CompareCommand.Create(),
            DemoCommand.Create(),
        };
        ParseResult parsed = root.Parse(arguments);
        if (parsed.Errors.Count > 0)
        {
            Console.Error.WriteLine($"sharpvisor: {UnknownOption(parsed, arguments) ?? parsed.Errors[0].Message.ReplaceLineEndings(" ")}");
            return Task.FromResult(ExitStatus.BadInput);
        }

        return parsed.InvokeAsync();
    }

    // The parser takes an unknown option for an argument, and complains about what follows it.
    private static string? UnknownOption(ParseResult parsed, string[] arguments)
    {
        IEnumerable<string> known = parsed.CommandResult.Command.Options.SelectMany(o => o.Aliases.Append(o.Name));
        return arguments.FirstOrDefault(a => a.StartsWith("--", StringComparison.Ordinal) && !known.Contains(a.Split('=')[0])) is { } option
            ? $"{option}: no such option"
            : null;
    }
}

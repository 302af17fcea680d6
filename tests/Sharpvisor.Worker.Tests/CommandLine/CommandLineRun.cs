// Runs the released program as a user does.
using System.Diagnostics;

namespace Sharpvisor.Worker.Tests.CommandLine;

internal sealed record CommandLineRun(int ExitStatus, string Output, string Errors)
{
    public static Process Start(params string[] arguments) => Process.Start(
        new ProcessStartInfo(Path.Combine(Repository.Root, "sharpvisor"), arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;

    public static async Task<CommandLineRun> ToEndAsync(params string[] arguments)
    {
        using Process process = Start(arguments);
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        string errors = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return new CommandLineRun(process.ExitCode, await output, errors);
    }
}

// Turns what the user got wrong into one line on stderr and exit status 2.
using Sharpvisor.Cli.Guests;
using Sharpvisor.Worker;

namespace Sharpvisor.Cli.Commands;

internal static class CommandErrors
{
    public static async Task<int> GuardAsync(Func<Task<int>> command)
    {
        try
        {
            return await command();
        }
        catch (VmConfigurationException e)
        {
            return Report(e.Message, ExitStatus.BadInput);
        }
        catch (GuestPreparationException e)
        {
            return Report(e.Message, ExitStatus.Failed);
        }
    }

    /// <summary>Creates an output file named on the command line, before any work is done for it.</summary>
    public static FileStream? CreateFile(string option, string? path)
    {
        try
        {
            return path is null ? null : new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new VmConfigurationException($"{option} {path}: cannot be written ({e.Message})");
        }
    }

    private static int Report(string message, int status)
    {
        Console.Error.WriteLine($"sharpvisor: {message.ReplaceLineEndings(" ")}");
        return status;
    }
}

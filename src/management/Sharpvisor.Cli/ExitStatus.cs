namespace Sharpvisor.Cli;

/// <summary>The process's exit statuses; scripts rely on them.</summary>
internal static class ExitStatus
{
    public const int Success = 0;
    public const int Failed = 1;
    public const int BadInput = 2;
    public const int GuestCrashed = 3;
    public const int TimedOut = 124;
}

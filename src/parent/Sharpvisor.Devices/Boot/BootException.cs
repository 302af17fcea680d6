namespace Sharpvisor.Devices.Boot;

/// <summary>A kernel, initrd or memory size that cannot be booted. The message is one line for the user and names the problem.</summary>
public sealed class BootException : Exception
{
    public BootException(string message)
        : base(message)
    {
    }

    public BootException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    public BootException()
    {
    }
}

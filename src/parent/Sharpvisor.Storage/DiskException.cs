// Why a disk image cannot be used, as one line for the person who named it.
namespace Sharpvisor.Storage;

/// <summary>An image cannot be opened. The message is one clear line that names the file.</summary>
public sealed class DiskException : Exception
{
    public DiskException()
    {
    }

    public DiskException(string message)
        : base(message)
    {
    }

    public DiskException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

// A kernel or initrd as read from the host.
namespace Sharpvisor.Devices.Boot;

/// <summary>A file's name, for messages, and its content.</summary>
public sealed record BootFile(string Name, ReadOnlyMemory<byte> Content)
{
    /// <exception cref="BootException">The file cannot be read.</exception>
    public static BootFile Read(string path)
    {
        try
        {
            return new BootFile(path, File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new BootException($"{path}: no such file", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new BootException(Directory.Exists(path) ? $"{path}: is a directory" : $"{path}: cannot be read: {e.Message}", e);
        }
    }
}

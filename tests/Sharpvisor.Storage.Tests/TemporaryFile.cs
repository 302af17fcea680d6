// A file that goes away with the test.
namespace Sharpvisor.Storage.Tests;

internal sealed class TemporaryFile : IDisposable
{
    public TemporaryFile(long bytes = 0)
    {
        using FileStream file = File.Create(Path);
        file.SetLength(bytes);
    }

    public TemporaryFile(byte[] content) => File.WriteAllBytes(Path, content);

    public string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"sv-{Guid.NewGuid():N}.img");

    public void Dispose() => File.Delete(Path);
}

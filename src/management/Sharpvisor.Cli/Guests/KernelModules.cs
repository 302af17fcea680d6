// The modules of an unpacked Debian kernel package: finds them by name and orders them by the dependencies that each
// one's .modinfo section states, so that no depmod is needed on the host.
using System.ComponentModel;
using System.Diagnostics;
using System.Text;

namespace Sharpvisor.Cli.Guests;

internal sealed class KernelModules
{
    private const string Compressed = ".xz";

    private readonly Dictionary<string, string> _paths;
    private readonly Dictionary<string, byte[]> _unpacked = new(StringComparer.Ordinal);

    /// <param name="root">A directory lib/modules/VERSION of an unpacked kernel package.</param>
    public KernelModules(string root)
    {
        Root = root;
        _paths = Directory.EnumerateFiles(root, "*.ko*", SearchOption.AllDirectories)
            .ToDictionary(p => Canonical(Path.GetFileNameWithoutExtension(WithoutCompression(p))), StringComparer.Ordinal);
    }

    public string Root { get; }

    public string Version => Path.GetFileName(Root);

    /// <summary>The named modules and everything they need, dependencies first. Names the kernel has built in are skipped.</summary>
    public IReadOnlyList<string> Closure(IEnumerable<string> names)
    {
        var ordered = new List<string>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (string name in names)
        {
            Visit(Canonical(name), ordered, seen);
        }

        return ordered;
    }

    /// <summary>The module; Debian 13 and later compress them.</summary>
    public byte[] Read(string name)
    {
        string path = _paths[Canonical(name)];
        if (!path.EndsWith(Compressed, StringComparison.Ordinal))
        {
            return File.ReadAllBytes(path);
        }

        lock (_unpacked)
        {
            if (!_unpacked.TryGetValue(path, out byte[]? content))
            {
                content = Unpack(path);
                _unpacked.Add(path, content);
            }

            return content;
        }
    }

    /// <summary>The module's path below lib/modules/VERSION, not compressed.</summary>
    public string RelativePath(string name) => WithoutCompression(Path.GetRelativePath(Root, _paths[Canonical(name)]));

    /// <summary>Direct dependencies, as .modinfo has them.</summary>
    public IReadOnlyList<string> Dependencies(string name)
    {
        ReadOnlySpan<byte> image = Read(name);
        int at = image.IndexOf("\0depends="u8);
        if (at < 0)
        {
            return [];
        }

        ReadOnlySpan<byte> value = image[(at + 9)..];
        string list = Encoding.ASCII.GetString(value[..value.IndexOf((byte)0)]);
        return [.. list.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(Canonical).Where(_paths.ContainsKey)];
    }

    private void Visit(string name, List<string> ordered, HashSet<string> seen)
    {
        if (!_paths.ContainsKey(name) || !seen.Add(name))
        {
            return;
        }

        foreach (string dependency in Dependencies(name))
        {
            Visit(dependency, ordered, seen);
        }

        ordered.Add(name);
    }

    private static string WithoutCompression(string path) =>
        path.EndsWith(Compressed, StringComparison.Ordinal) ? path[..^Compressed.Length] : path;

    private static byte[] Unpack(string path)
    {
        try
        {
            using Process xz = Process.Start(new ProcessStartInfo("xz", ["-dc", path]) { RedirectStandardOutput = true })!;
            using var content = new MemoryStream();
            xz.StandardOutput.BaseStream.CopyTo(content);
            xz.WaitForExit();
            return xz.ExitCode == 0 ? content.ToArray() : throw new GuestPreparationException($"{path} cannot be unpacked");
        }
        catch (Win32Exception)
        {
            throw new GuestPreparationException("xz is not installed; the kernel's modules are compressed with it");
        }
    }

    // Module names use either '-' or '_'; the kernel's own form is '_'.
    private static string Canonical(string name) => name.Replace('-', '_');
}

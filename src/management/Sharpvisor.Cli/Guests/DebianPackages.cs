// Brings Debian packages into the user's cache and unpacks them there; nothing is installed and no privilege is needed.
using System.ComponentModel;
using System.Diagnostics;

namespace Sharpvisor.Cli.Guests;

/// <summary>Something a guest needs could not be prepared; the message is one line for the user.</summary>
internal sealed class GuestPreparationException(string message) : Exception(message);

/// <param name="cacheDirectory">Where packages are kept, unpacked.</param>
/// <param name="progress">Gets a line before anything that takes time.</param>
/// <param name="suite">A Debian release by name, such as trixie; null: whatever the host's own package lists say.</param>
internal sealed class DebianPackages(string cacheDirectory, Action<string> progress, string? suite = null)
{
    private const string Mirror = "http://deb.debian.org/debian";
    private const string Keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

    public string CacheDirectory => cacheDirectory;

    private string PackagesDirectory => Path.Combine(cacheDirectory, suite is null ? "packages" : $"packages-{suite}");

    /// <summary>The same cache, for another release.</summary>
    public DebianPackages Of(string otherSuite) => new(cacheDirectory, progress, otherSuite);

    public static string DefaultCacheDirectory => Path.Combine(
        Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } xdg
            ? xdg
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache"),
        "sharpvisor");

    /// <summary>Downloads and unpacks a package unless the cache has it; returns the directory that holds its files.</summary>
    public string Unpack(string package)
    {
        string directory = Path.Combine(PackagesDirectory, package);
        if (Directory.Exists(directory))
        {
            return directory;
        }

        progress($"downloading Debian package {package}");
        string parent = Path.GetDirectoryName(directory)!;
        Directory.CreateDirectory(parent);
        string work = Directory.CreateDirectory(Path.Combine(parent, $".{package}.{Environment.ProcessId}")).FullName;
        try
        {
            EnsurePackageLists(package);
            Run("apt-get", work, ["download", "-o", "APT::Sandbox::User=", .. SuiteOptions(), package]);
            string archive = Directory.EnumerateFiles(work, "*.deb").FirstOrDefault()
                ?? throw new GuestPreparationException($"apt-get did not deliver the package {package}");
            Run("dpkg-deb", work, ["-x", archive, Path.Combine(work, "root")]);
            try
            {
                // The rename makes the cache entry whole or absent, whoever else prepares it at the same time.
                Directory.Move(Path.Combine(work, "root"), directory);
            }
            catch (IOException) when (Directory.Exists(directory))
            {
            }
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }

        return directory;
    }

    /// <summary>The package a Debian meta-package such as linux-image-cloud-amd64 stands for today.</summary>
    public string Resolve(string metaPackage, string prefix)
    {
        EnsurePackageLists(metaPackage);
        string output = Run("apt-cache", null, ["depends", "--important", .. SuiteOptions(), metaPackage]);
        return output.Split('\n')
            .Select(line => line.Trim())
            .Where(line => line.StartsWith("Depends: " + prefix, StringComparison.Ordinal))
            .Select(line => line["Depends: ".Length..])
            .FirstOrDefault() ?? throw new GuestPreparationException($"{metaPackage} depends on no {prefix}* package");
    }

    private void EnsurePackageLists(string package)
    {
        if (!TryRun("apt-cache", null, out string shown, ["policy", .. SuiteOptions(), package])
            || !shown.Contains("Candidate:", StringComparison.Ordinal)
            || shown.Contains("Candidate: (none)", StringComparison.Ordinal))
        {
            progress("refreshing the package lists");
            Run("apt-get", null, ["update", "-qq", "-o", "APT::Sandbox::User=", .. SuiteOptions()]);
        }
    }

    /// <summary>Makes apt look at one release, with lists of its own, and leaves the host's configuration alone.</summary>
    private string[] SuiteOptions()
    {
        if (suite is null)
        {
            return [];
        }

        string directory = Path.Combine(cacheDirectory, $"apt-{suite}");
        string sources = Path.Combine(directory, "sources.list");
        Directory.CreateDirectory(Path.Combine(directory, "lists", "partial"));
        File.WriteAllText(sources, $"deb [arch=amd64 signed-by={Keyring}] {Mirror} {suite} main\n");
        return
        [
            "-o", $"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=/dev/null", "-o", $"Dir::State::Lists={directory}/lists",
            "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "Acquire::Languages=none", "-o", "APT::Default-Release=",
        ];
    }

    private static string Run(string program, string? directory, string[] arguments) =>
        TryRun(program, directory, out string output, arguments)
            ? output
            : throw new GuestPreparationException(
                $"{program} {string.Join(' ', arguments)} failed: {output.Trim().Split('\n')[^1]}");

    private static bool TryRun(string program, string? directory, out string output, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = directory ?? "",
        };
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode != 0)
            {
                output = errors.Result;
            }

            return process.ExitCode == 0;
        }
        catch (Win32Exception)
        {
            throw new GuestPreparationException($"{program} is not installed; the guest is made from Debian's packages");
        }
    }
}

// Brings Debian packages into the user's cache and unpacks them there; nothing is installed and no privilege is needed.
using System.ComponentModel;
using System.Diagnostics;

namespace Sharpvisor.Cli.Guests;

/// <summary>Something a guest needs could not be prepared; the message is one line for the user.</summary>
internal sealed class GuestPreparationException(string message) : Exception(message);

internal sealed class DebianPackages(string cacheDirectory, Action<string> progress)
{
    public string CacheDirectory => cacheDirectory;

    public static string DefaultCacheDirectory => Path.Combine(
        Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } xdg
            ? xdg
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache"),
        "sharpvisor");

    /// <summary>Downloads and unpacks a package unless the cache has it; returns the directory that holds its files.</summary>
    public string Unpack(string package)
    {
        string directory = Path.Combine(cacheDirectory, "packages", package);
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
            Run("apt-get", work, "download", "-o", "APT::Sandbox::User=", package);
            string archive = Directory.EnumerateFiles(work, "*.deb").FirstOrDefault()
                ?? throw new GuestPreparationException($"apt-get did not deliver the package {package}");
            Run("dpkg-deb", work, "-x", archive, Path.Combine(work, "root"));
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
        string output = Run("apt-cache", null, "depends", "--important", metaPackage);
        return output.Split('\n')
            .Select(line => line.Trim())
            .Where(line => line.StartsWith("Depends: " + prefix, StringComparison.Ordinal))
            .Select(line => line["Depends: ".Length..])
            .FirstOrDefault() ?? throw new GuestPreparationException($"{metaPackage} depends on no {prefix}* package");
    }

    private void EnsurePackageLists(string package)
    {
        if (!TryRun("apt-cache", null, out string shown, "policy", package)
            || !shown.Contains("Candidate:", StringComparison.Ordinal)
            || shown.Contains("Candidate: (none)", StringComparison.Ordinal))
        {
            progress("refreshing the package lists");
            Run("apt-get", null, "update", "-qq");
        }
    }

    private static string Run(string program, string? directory, params string[] arguments) =>
        TryRun(program, directory, out string output, arguments)
            ? output
            : throw new GuestPreparationException(
                $"{program} {string.Join(' ', arguments)} failed: {output.Trim().Split('\n')[^1]}");

    private static bool TryRun(string program, string? directory, out string output, params string[] arguments)
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

// The guest of bench/cpu: busybox, our C programs built with the host's gcc, Debian's perl and xz with their libraries.
using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using Sharpvisor.Cli.Guests;

namespace Sharpvisor.Bench;

internal static class CpuGuest
{
    private const string Libraries = "lib/x86_64-linux-gnu";

    private static readonly string[] s_prefixes = ["", "usr"];

    // Package, file, place in the guest.
    private static readonly (string Package, string From, string To)[] s_files =
    [
        ("libc6", $"{Libraries}/ld-linux-x86-64.so.2", "lib64/ld-linux-x86-64.so.2"),
        ("libc6", $"{Libraries}/libc.so.6", $"{Libraries}/libc.so.6"),
        ("libc6", $"{Libraries}/libm.so.6", $"{Libraries}/libm.so.6"),
        ("libcrypt1", $"{Libraries}/libcrypt.so.1", $"{Libraries}/libcrypt.so.1"),
        ("perl-base", "bin/perl", "opt/perl"),
        ("xz-utils", "bin/xz", "opt/xz"),
        ("liblzma5", $"{Libraries}/liblzma.so.5", $"{Libraries}/liblzma.so.5"),
    ];

    private static readonly (string Name, string Options)[] s_programs =
    [
        ("scalar", "-O2"), ("packed", "-O2"), ("x87", "-O2 -mfpmath=387"), ("jit", "-O2"), ("chase", "-O2"), ("spawn", "-O2"), ("pipes", "-O2"),
    ];

    /// <summary>Files of every guest of the benchmark.</summary>
    public static void AddTo(CpioArchive archive, DebianPackages packages)
    {
        foreach ((string package, string from, string to) in s_files)
        {
            string root = packages.Unpack(package);
            string path = s_prefixes.Select(p => Path.Combine(root, p, from)).FirstOrDefault(File.Exists)
                ?? throw new GuestPreparationException($"{package} has no {from}");
            archive.AddProgram(to, File.ReadAllBytes(path));
        }

        // strict.pm is all that the script wants of perl-base's library.
        string perl = Directory.EnumerateFiles(packages.Unpack("perl-base"), "strict.pm", SearchOption.AllDirectories).First();
        archive.AddFile("opt/strict.pm", File.ReadAllBytes(perl));
        archive.AddFile("opt/work.pl", Encoding.UTF8.GetBytes(Source("work.pl")));
        foreach ((string name, string options) in s_programs)
        {
            archive.AddProgram($"opt/{name}", Build(packages, name, options));
        }
    }

    private static byte[] Build(DebianPackages packages, string name, string options)
    {
        string source = Source($"{name}.c");
        string key = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(source + options)))[..16];
        string directory = Directory.CreateDirectory(Path.Combine(packages.CacheDirectory, "bench")).FullName;
        string program = Path.Combine(directory, $"{name}-{key}");
        if (!File.Exists(program))
        {
            string work = $"{program}.{Environment.ProcessId}";
            File.WriteAllText(work + ".c", source);
            using Process compiler = Process.Start("gcc", [.. options.Split(' '), "-static", "-o", work, work + ".c"]);
            compiler.WaitForExit();
            File.Delete(work + ".c");
            if (compiler.ExitCode != 0)
            {
                throw new GuestPreparationException($"{name}.c does not compile");
            }

            File.Move(work, program, overwrite: true);
        }

        return File.ReadAllBytes(program);
    }

    private static string Source(string name)
    {
        using Stream stream = typeof(CpuGuest).Assembly.GetManifestResourceStream($"Sharpvisor.Bench.Programs.{name}")!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}

// Programs that run in guests: Debian's static busybox, and our own few C sources, compiled by Debian's tcc straight from
// its unpacked package, so that nothing has to be installed.
using System.Diagnostics;
using System.Reflection;
using System.Security.Cryptography;

namespace Sharpvisor.Cli.Guests;

internal static class GuestPrograms
{
    // bookworm's packages use /bin, later ones /usr/bin.
    private static readonly string[] s_busyboxPaths = ["bin/busybox", "usr/bin/busybox"];

    public static byte[] ReadBusybox(DebianPackages packages)
    {
        string root = packages.Unpack("busybox-static");
        return File.ReadAllBytes(s_busyboxPaths.Select(p => Path.Combine(root, p)).First(File.Exists));
    }

    /// <summary>Compiles an embedded freestanding C source into a static ELF program; cached by content.</summary>
    public static byte[] Compile(DebianPackages packages, string name)
    {
        using Stream source = Assembly.GetExecutingAssembly().GetManifestResourceStream($"Sharpvisor.Cli.Guests.Programs.{name}.c")!;
        byte[] text = new byte[source.Length];
        source.ReadExactly(text);

        string directory = Path.Combine(packages.CacheDirectory, "programs");
        string program = Path.Combine(directory, $"{name}-{Convert.ToHexStringLower(SHA256.HashData(text))[..16]}");
        if (!File.Exists(program))
        {
            Directory.CreateDirectory(directory);
            string tcc = packages.Unpack("tcc");
            string work = $"{program}.{Environment.ProcessId}";
            File.WriteAllBytes(work + ".c", text);
            using Process compiler = Process.Start(
                Path.Combine(tcc, "usr/bin/tcc"),
                ["-B" + Path.Combine(tcc, "usr/lib/x86_64-linux-gnu/tcc"), "-nostdlib", "-static", "-o", work, work + ".c"]);
            compiler.WaitForExit();
            File.Delete(work + ".c");
            if (compiler.ExitCode != 0)
            {
                throw new GuestPreparationException($"the guest program {name} does not compile");
            }

            File.Move(work, program, overwrite: true);
        }

        return File.ReadAllBytes(program);
    }
}

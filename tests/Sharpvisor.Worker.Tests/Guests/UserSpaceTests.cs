// The short form of tests/soak: Debian's perl and glibc in a guest on the translator, two VPs at once, compared with what the very
// same files print on this machine.
using System.Diagnostics;
using System.Text;
using Sharpvisor.Cli.Guests;
using Xunit;

namespace Sharpvisor.Worker.Tests.Guests;

public sealed class UserSpaceTests
{
    private const string Loader = "ld-linux-x86-64.so.2";
    private const string Libraries = "lib/x86_64-linux-gnu";

    // Hashes, integers of 64 bits and more, doubles to the last bit, sorting, regular expressions, formatting, string functions.
    private const string Script = """
        my $s = 12345; sub rnd { $s = ($s * 1103515245 + 12345) & 0x7fffffff; return $s; }
        sub sum { my $t = 0; $t = ($t * 31 + $_) % 1000000007 for unpack 'C*', $_[0]; return $t; }
        my %h; $h{ join '', map { chr(97 + rnd() % 9) } 1 .. 1 + rnd() % 5 }++ for 1 .. 20000;
        print 'hash ', sum(join ',', map { "$_=$h{$_}" } sort keys %h), "\n";
        my $f = 0;
        for my $i (1 .. 20000) { my $v = $i * 0.611; $f += sin($v) * sqrt($v) - atan2($v, 2) + exp(-$v / 9e3) + cos($v) ** 2 + log($v) + int($v / 3) }
        printf "float %s %.17g %d %e %s\n", unpack('H*', pack('d', $f)), $f, $f, $f / 7, unpack('H*', pack('f', $f));
        my $t = join ' ', map { sprintf '%x', rnd() } 1 .. 10000; my $n = () = $t =~ /(?:[0-4]+[a-f]{2,3})\b/g;
        (my $u = $t) =~ tr/0-9a-f/a-z0-9/; print "regex $n ", sum($u), ' ', length(lc(uc $u) . reverse $u), "\n";
        print 'sort ', sum(join ' ', sort { $a <=> $b } map { rnd() / 7 } 1 .. 10000), "\n";
        my $i = 1; $i = ($i * 31 + $_) % 1000000007 for 1 .. 100000; print "int $i ", 1 << 40, ' ', -17 % 5, ' ', ~5 & 0xffffffffff, ' ', 18446744073709551615 - 3, ' ', 2 ** 70, "\n";
        my $m = ''; for (1 .. 300) { my $p = rnd() % 5000; substr($m, length($m) > $p ? $p : length $m, rnd() % 40) = chr(rnd() % 256) x (rnd() % 300) } print 'memory ', length $m, ' ', sum($m), ' ', sum(pack 'w/a* n N v V q', $m, 1 .. 5), "\n";
        """;

    [Fact]
    public async Task Perl_computes_on_two_processors_what_it_computes_on_the_host()
    {
        string expected = RunOnHost();
        Assert.Equal(6, expected.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);

        GuestRun run = await GuestRun.BootAsync(
            KernelFlavour.Cloud,
            "for n in 1 2; do (perl /script.pl > /tmp/out$n 2>&1) & done; wait; cmp /tmp/out1 /expected && cmp /tmp/out2 /expected && echo both agree || cat /tmp/out*",
            o => o with { Processors = 2, Engine = EngineKind.Software },
            archive =>
            {
                AddPerl(archive);
                archive.AddFile("expected", Encoding.UTF8.GetBytes(expected));
            },
            modules: []);

        run.AssertPoweredOff().AssertPrinted("both agree");
    }

    private static void AddPerl(CpioArchive archive)
    {
        archive.AddProgram($"lib64/{Loader}", Read("libc6", Loader));
        archive.AddProgram("bin/perl", Read("perl-base", "perl"));
        foreach ((string package, string file) in (ReadOnlySpan<(string, string)>)[("libc6", "libc.so.6"), ("libc6", "libm.so.6"), ("libcrypt1", "libcrypt.so.1")])
        {
            archive.AddProgram($"{Libraries}/{file}", Read(package, file));
        }

        archive.AddFile("script.pl", Encoding.UTF8.GetBytes(Script));
    }

    private static byte[] Read(string package, string file) => File.ReadAllBytes(Find(package, file));

    private static string Find(string package, string file) =>
        Directory.EnumerateFiles(GuestRun.Packages.Unpack(package), file, SearchOption.AllDirectories).First();

    private static string RunOnHost()
    {
        string loader = Find("libc6", Loader);
        var start = new ProcessStartInfo(loader, ["--library-path", $"{Path.GetDirectoryName(loader)}:{Path.GetDirectoryName(Find("libcrypt1", "libcrypt.so.1"))}", Find("perl-base", "perl"), "-"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };

        // The guest's CPU has neither AVX nor FMA, and libm's variants for them may round differently.
        start.Environment["GLIBC_TUNABLES"] = "glibc.cpu.hwcaps=-AVX2,-AVX,-FMA,-FMA4,-AVX512F";
        using Process perl = Process.Start(start)!;
        perl.StandardInput.Write(Script);
        perl.StandardInput.Close();
        string output = perl.StandardOutput.ReadToEnd();
        perl.WaitForExit();
        return output;
    }
}

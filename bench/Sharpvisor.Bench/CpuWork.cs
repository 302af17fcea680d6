// What bench/cpu runs in the guest.
using System.Text;

namespace Sharpvisor.Bench;

/// <summary>One timed piece of work: a shell command, timed by the host between the two lines printed around it.</summary>
internal sealed record CpuWork(string Name, string Command)
{
    public const string StartMark = "@@start ";
    public const string EndMark = "@@end ";

    private const string Loop = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done";

    public static CpuWork[] OneProcessor { get; } =
    [
        new("shell loop", Loop),
        new("sha256sum", "for i in 1 2 3 4 5 6 7 8; do cat /tmp/text /tmp/text /tmp/text; done | sha256sum"),
        new("gzip", "for i in 1 2 3; do gzip -c /tmp/text; done >/dev/null"),
        new("xz", "/opt/xz -1 -c -T1 /tmp/text >/dev/null"),
        new("sort", "for i in 1 2 3 4; do sort /tmp/numbers; done >/dev/null"),
        new("awk", "cat /tmp/numbers /tmp/numbers | awk '{ s += $1 * 7 % 13; n[$1 % 97]++ } END { print s }'"),
        new("dd small", "dd if=/dev/zero of=/dev/null bs=512 count=400000 2>/dev/null"),
        new("dd large", "dd if=/dev/zero of=/dev/null bs=1M count=3000 2>/dev/null"),
        new("fork+exec", "/opt/spawn 500"),
        new("pipes", "/opt/pipes 20000"),
        new("SSE2 scalar", "/opt/scalar"),
        new("SSE2 packed", "/opt/packed"),
        new("x87", "/opt/x87"),
        new("JIT-like", "/opt/jit"),
        new("perl", "/opt/perl -I/opt /opt/work.pl"),
        new("pointer chase", "/opt/chase"),
    ];

    public static CpuWork[] TwoProcessors { get; } =
    [
        new("2 shell loops", $"( {Loop} ) & ( {Loop} ); wait"),
    ];

    public const string BootCloud = "boot cloud";
    public const string BootGeneric = "boot generic";

    /// <summary>The guest's init: prepares data, then runs the works; then ends the VM.</summary>
    public static string Script(IEnumerable<CpuWork> works)
    {
        var script = new StringBuilder();
        script.Append("awk 'BEGIN { s = 1; for (i = 0; i < 40000; i++) { s = (s * 16807) % 2147483647; print s } }' >/tmp/numbers\n");
        script.Append("cat /tmp/numbers /proc/kallsyms | head -c 1500000 >/tmp/text\n");
        foreach (CpuWork work in works)
        {
            script.Append($"echo '{StartMark}{work.Name}'\n{work.Command}\necho \"{EndMark}$?\"\n");
        }

        return script.Append("poweroff -f").ToString();
    }
}

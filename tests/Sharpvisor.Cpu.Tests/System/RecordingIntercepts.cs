// The hypervisor's side for tests: remembers what was asked, answers with constants.
using Sharpvisor.Core;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.Tests.Architecture;

internal sealed class RecordingIntercepts : IVpIntercepts
{
    public List<string> Log { get; } = [];

    public Vp? Engine { get; set; }

    public byte[] PortData { get; set; } = [];

    public byte Cr8 { get; set; }

    public uint ReadPort(ushort port, int bytes)
    {
        Log.Add($"in {port:x} {bytes}");
        return 0xA5A5A5A5;
    }

    public void WritePort(ushort port, int bytes, uint value) => Log.Add($"out {port:x} {bytes} {value:x}");

    public int ReadPortString(ushort port, int bytes, Span<byte> destination)
    {
        int count = Math.Min(destination.Length, PortData.Length) / bytes;
        PortData.AsSpan(0, count * bytes).CopyTo(destination);
        return count;
    }

    public int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source) => 0;

    public ulong ReadMmio(ulong gpa, int bytes)
    {
        Log.Add($"read {gpa:x} {bytes}");
        return 0x1122_3344_5566_7788;
    }

    public void WriteMmio(ulong gpa, int bytes, ulong value) => Log.Add($"write {gpa:x} {bytes} {value:x}");

    public bool TryReadMsr(uint msr, out ulong value)
    {
        value = 0;
        return false;
    }

    public bool TryWriteMsr(uint msr, ulong value) => false;

    public CpuidResult Cpuid(uint leaf, uint subleaf) => Engine!.Cpuid(leaf, subleaf);

    public bool Hypercall() => false;

    public ulong ReadTsc() => 1000;

    public int AcknowledgeInterrupt() => -1;
}

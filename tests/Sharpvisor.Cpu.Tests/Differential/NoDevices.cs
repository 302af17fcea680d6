// The hypervisor of a sequence: no devices, interrupts or hypercalls; a port write ends the run.
using Sharpvisor.Core;

namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed class NoDevices : IVpIntercepts
{
    public IVpEngine? Engine { get; set; }

    public byte Cr8 { get; set; }

    public uint ReadPort(ushort port, int bytes) => uint.MaxValue;

    /// <summary>The exception handlers' way out.</summary>
    public void WritePort(ushort port, int bytes, uint value) => Engine?.Kick(VpEvents.Stop);

    public int ReadPortString(ushort port, int bytes, Span<byte> destination) => 0;

    public int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source) => 0;

    public ulong ReadMmio(ulong gpa, int bytes) => ulong.MaxValue;

    public void WriteMmio(ulong gpa, int bytes, ulong value)
    {
    }

    public bool TryReadMsr(uint msr, out ulong value)
    {
        value = 0;
        return false;
    }

    public bool TryWriteMsr(uint msr, ulong value) => false;

    public CpuidResult Cpuid(uint leaf, uint subleaf) => Engine?.Cpuid(leaf, subleaf) ?? default;

    public bool Hypercall() => false;

    public ulong ReadTsc() => 0;

    public int AcknowledgeInterrupt() => -1;
}

// The follower's hypervisor: answers as the leader was answered, and complains when it is asked anything else.
namespace Sharpvisor.Cpu.Lockstep;

internal sealed unsafe class ReplayingIntercepts(InterceptLog log) : IVpIntercepts
{
    /// <summary>The follower's registers; set once it exists.</summary>
    public VpState* State { get; set; }

    public byte Cr8
    {
        get => (byte)Take(new InterceptCall(InterceptKind.GetCr8, 0, 0, 0)).Result;
        set => Take(new InterceptCall(InterceptKind.SetCr8, 0, 0, value));
    }

    public uint ReadPort(ushort port, int bytes) => (uint)Take(new InterceptCall(InterceptKind.ReadPort, port, bytes, 0)).Result;

    public void WritePort(ushort port, int bytes, uint value) => Take(new InterceptCall(InterceptKind.WritePort, port, bytes, value));

    public int ReadPortString(ushort port, int bytes, Span<byte> destination)
    {
        InterceptEntry entry = Take(new InterceptCall(InterceptKind.ReadPortString, port, bytes, (ulong)destination.Length));
        entry.Data.CopyTo(destination);
        return (int)entry.Result;
    }

    public int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source) =>
        (int)Take(new InterceptCall(InterceptKind.WritePortString, port, bytes, RecordingIntercepts.Digest(source))).Result;

    public ulong ReadMmio(ulong gpa, int bytes) => Take(new InterceptCall(InterceptKind.ReadMmio, gpa, bytes, 0)).Result;

    public void WriteMmio(ulong gpa, int bytes, ulong value) => Take(new InterceptCall(InterceptKind.WriteMmio, gpa, bytes, value));

    public bool TryReadMsr(uint msr, out ulong value)
    {
        InterceptEntry entry = Take(new InterceptCall(InterceptKind.ReadMsr, msr, 8, 0));
        value = entry.Result;
        return entry.More.Eax != 0;
    }

    public bool TryWriteMsr(uint msr, ulong value) => Take(new InterceptCall(InterceptKind.WriteMsr, msr, 8, value)).Result != 0;

    public CpuidResult Cpuid(uint leaf, uint subleaf) => Take(new InterceptCall(InterceptKind.Cpuid, leaf, 0, subleaf)).More;

    public bool Hypercall() => Take(new InterceptCall(InterceptKind.Hypercall, 0, 0, 0)).Result != 0;

    public ulong ReadTsc() => Take(new InterceptCall(InterceptKind.ReadTsc, 0, 0, 0)).Result;

    public int AcknowledgeInterrupt() => (int)(long)Take(new InterceptCall(InterceptKind.AcknowledgeInterrupt, 0, 0, 0)).Result;

    /// <inheritdoc cref="RecordingIntercepts.Note"/>
    public ulong Noted(InterceptKind kind) => Take(new InterceptCall(kind, 0, 0, 0)).Result;

    private InterceptEntry Take(in InterceptCall call)
    {
        InterceptEntry entry = log.Take(call);
        if (entry.Changes != null)
        {
            StateComparison.Apply(State, entry.Changes);
        }

        return entry;
    }
}

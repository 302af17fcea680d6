// The leader's way to the hypervisor: passes everything on and writes it down.
namespace Sharpvisor.Cpu.Lockstep;

internal sealed unsafe class RecordingIntercepts(IVpIntercepts target, InterceptLog log) : IVpIntercepts
{
    private readonly byte[] _before = new byte[StateComparison.Bytes];

    /// <summary>The leader's registers; set once it exists.</summary>
    public VpState* State { get; set; }

    /// <summary>A device is at work on the VP's thread: what is written to memory now, the guest's code did not write.</summary>
    public bool Inside { get; private set; }

    public byte Cr8
    {
        get
        {
            Enter();
            byte value = target.Cr8;
            Leave(new InterceptCall(InterceptKind.GetCr8, 0, 0, 0), value);
            return value;
        }

        set
        {
            Enter();
            target.Cr8 = value;
            Leave(new InterceptCall(InterceptKind.SetCr8, 0, 0, value), 0);
        }
    }

    public uint ReadPort(ushort port, int bytes)
    {
        Enter();
        uint value = target.ReadPort(port, bytes);
        Leave(new InterceptCall(InterceptKind.ReadPort, port, bytes, 0), value);
        return value;
    }

    public void WritePort(ushort port, int bytes, uint value)
    {
        Enter();
        target.WritePort(port, bytes, value);
        Leave(new InterceptCall(InterceptKind.WritePort, port, bytes, value), 0);
    }

    public int ReadPortString(ushort port, int bytes, Span<byte> destination)
    {
        Enter();
        int done = target.ReadPortString(port, bytes, destination);
        Leave(
            new InterceptCall(InterceptKind.ReadPortString, port, bytes, (ulong)destination.Length),
            (ulong)done,
            data: destination[..(done * bytes)].ToArray());
        return done;
    }

    public int WritePortString(ushort port, int bytes, ReadOnlySpan<byte> source)
    {
        Enter();
        int done = target.WritePortString(port, bytes, source);
        Leave(new InterceptCall(InterceptKind.WritePortString, port, bytes, Digest(source)), (ulong)done);
        return done;
    }

    public ulong ReadMmio(ulong gpa, int bytes)
    {
        Enter();
        ulong value = target.ReadMmio(gpa, bytes);
        Leave(new InterceptCall(InterceptKind.ReadMmio, gpa, bytes, 0), value);
        return value;
    }

    public void WriteMmio(ulong gpa, int bytes, ulong value)
    {
        Enter();
        target.WriteMmio(gpa, bytes, value);
        Leave(new InterceptCall(InterceptKind.WriteMmio, gpa, bytes, value), 0);
    }

    public bool TryReadMsr(uint msr, out ulong value)
    {
        Enter();
        bool done = target.TryReadMsr(msr, out value);
        Leave(new InterceptCall(InterceptKind.ReadMsr, msr, 8, 0), value, new CpuidResult(done ? 1u : 0, 0, 0, 0));
        return done;
    }

    public bool TryWriteMsr(uint msr, ulong value)
    {
        Enter();
        bool done = target.TryWriteMsr(msr, value);
        Leave(new InterceptCall(InterceptKind.WriteMsr, msr, 8, value), done ? 1UL : 0);
        return done;
    }

    public CpuidResult Cpuid(uint leaf, uint subleaf)
    {
        Enter();
        CpuidResult result = target.Cpuid(leaf, subleaf);
        Leave(new InterceptCall(InterceptKind.Cpuid, leaf, 0, subleaf), 0, result);
        return result;
    }

    public bool Hypercall()
    {
        Enter();
        bool done = target.Hypercall();
        Leave(new InterceptCall(InterceptKind.Hypercall, 0, 0, 0), done ? 1UL : 0);
        return done;
    }

    public ulong ReadTsc()
    {
        Enter();
        ulong value = target.ReadTsc();
        Leave(new InterceptCall(InterceptKind.ReadTsc, 0, 0, 0), value);
        return value;
    }

    public int AcknowledgeInterrupt()
    {
        Enter();
        int vector = target.AcknowledgeInterrupt();
        Leave(new InterceptCall(InterceptKind.AcknowledgeInterrupt, 0, 0, 0), (ulong)vector);
        return vector;
    }

    /// <summary>What is no intercept, but no more repeatable than one.</summary>
    public ulong Note(InterceptKind kind, ulong value)
    {
        log.Add(new InterceptEntry(new InterceptCall(kind, 0, 0, 0), value, default, null, null));
        return value;
    }

    /// <summary>Stands for the bytes in a comparison (FNV-1a).</summary>
    internal static ulong Digest(ReadOnlySpan<byte> bytes)
    {
        ulong hash = 14695981039346656037;
        foreach (byte value in bytes)
        {
            hash = (hash ^ value) * 1099511628211;
        }

        return hash;
    }

    private void Enter()
    {
        StateComparison.Span(State).CopyTo(_before);
        Inside = true;
    }

    private void Leave(in InterceptCall call, ulong result, CpuidResult more = default, byte[]? data = null)
    {
        Inside = false;
        log.Add(new InterceptEntry(call, result, more, data, StateComparison.Changes(_before, State)));
    }
}

// An engine without instructions: Run does what the test scripts, or halts.
using System.Runtime.InteropServices;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor.Tests;

internal sealed unsafe class FakeEngine : IVpEngine
{
    public FakeEngine(int index, IVpIntercepts intercepts)
    {
        Intercepts = intercepts;
        State = (VpState*)NativeMemory.AllocZeroed((nuint)sizeof(VpState));
        State->VpIndex = (uint)index;
    }

    public VpState* State { get; }

    public IVpIntercepts Intercepts { get; }

    public long Instructions => 0;

    /// <summary>Replaces <see cref="Run"/>.</summary>
    public Func<FakeEngine, VpExit>? Script { get; set; }

    public int TlbFlushes { get; private set; }

    public int Resets { get; private set; }

    public VpEvents Events => (VpEvents)Volatile.Read(ref State->PendingEvents);

    public void AddStatistics(Statistics statistics)
    {
    }

    public VpExit Run()
    {
        if ((Events & VpEvents.Stop) != 0)
        {
            return VpExit.Event;
        }

        return Script != null ? Script(this) : VpExit.Halt;
    }

    public void Kick(VpEvents events) => Interlocked.Or(ref State->PendingEvents, (uint)events);

    public void RequestTlbFlush() => TlbFlushes++;

    public CpuidResult Cpuid(uint leaf, uint subleaf) => leaf switch
    {
        0 => new CpuidResult(0xD, 0x756E_6547, 0x6C65_746E, 0x4965_6E69),
        1 => new CpuidResult(0x000906EA, 0x0000_0800, 0, 1 << 9),
        4 => new CpuidResult(subleaf == 0 ? 0x121u : subleaf == 1 ? 0x163u : 0, 0, 0, 0),
        0x8000_0008 => new CpuidResult(0x3028, 0, 0, 0),
        _ => default,
    };

    public void Reset(bool powerOn)
    {
        Resets++;
        uint events = State->PendingEvents;
        *State = default;
        State->PendingEvents = events;
        State->RFlags = 2;
        State->Rip = 0xFFF0;
    }

    public void Dispose() => NativeMemory.Free(State);
}

internal sealed class FakeEngineFactory : IVpEngineFactory
{
    public List<FakeEngine> Engines { get; } = [];

    public IVpEngine Create(int vpIndex, GuestMemory memory, IVpIntercepts intercepts)
    {
        Engines.Add(new FakeEngine(vpIndex, intercepts));
        return Engines[^1];
    }
}

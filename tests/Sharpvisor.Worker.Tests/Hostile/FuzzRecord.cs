// One step of the hostile guest: an operation and its operands, of which the guest's own random numbers change the masked bits.
using System.Runtime.InteropServices;

namespace Sharpvisor.Worker.Tests.Hostile;

/// <summary>What the guest program can do; each value is a slot of its code.</summary>
internal enum FuzzOperation : uint
{
    None,
    In8,
    In16,
    In32,
    Out8,
    Out16,
    Out32,
    InString8,
    InString16,
    InString32,
    OutString8,
    OutString16,
    OutString32,
    Read8,
    Read16,
    Read32,
    Read64,
    Write8,
    Write16,
    Write32,
    Write64,
    ReadMsr,
    WriteMsr,
    Hypercall,
    Copy,
    EnableInterrupts,
    InvalidatePage,
    WriteCr8,
    ReloadCr3,
    Cpuid,
    LockedAdd,
    LockedExchange16,
    /// <summary>VP 1 only: jumps to an address.</summary>
    Execute,
    /// <summary>VP 1 only: HLT.</summary>
    Halt,
    /// <summary>Spins, to let the host's threads get at what was sent.</summary>
    Wait,
    Count,
}

[StructLayout(LayoutKind.Sequential, Pack = 1, Size = Bytes)]
internal struct FuzzRecord
{
    public const int Bytes = 64;

    public FuzzOperation Operation;
    public uint Reserved;
    public ulong A;
    public ulong AMask;
    public ulong B;
    public ulong BMask;
    public ulong C;
    public ulong D;
}

// How instructions raise exceptions: the fault is recorded in the VP, the handler returns null, and the run loop
// delivers it with RIP of the instruction (Intel SDM Vol. 3A, 6.5: faults are restartable).
using System.Runtime.CompilerServices;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

/// <summary>Every member records a fault against the current instruction and returns null, for <c>return Faults.Raise(…)</c>.</summary>
internal static unsafe class Faults
{
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Op* Raise(VpState* s, Op* op, byte vector)
    {
        Record(s, vector);
        return null;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Op* Raise(VpState* s, Op* op, byte vector, uint errorCode)
    {
        Record(s, vector, errorCode);
        return null;
    }

    public static Op* UndefinedOpcode(VpState* s, Op* op) => Raise(s, op, Vector.UD);

    public static Op* GeneralProtection(VpState* s, Op* op, uint errorCode = 0) => Raise(s, op, Vector.GP, errorCode);

    /// <summary>For code with no instruction at hand. Always false.</summary>
    public static bool Record(VpState* s, byte vector)
    {
        EngineBlock.Of(s)->Fault = new PendingFault { Pending = 1, Vector = vector };
        return false;
    }

    /// <inheritdoc cref="Record(VpState*, byte)"/>
    public static bool Record(VpState* s, byte vector, uint errorCode)
    {
        EngineBlock.Of(s)->Fault = new PendingFault
        {
            Pending = 1,
            Vector = vector,
            HasErrorCode = 1,
            ErrorCode = errorCode,
        };
        return false;
    }

    /// <summary>
    /// A data access to a non-canonical address: #GP(0), or #SS(0) when it turns out to be the stack's (Intel SDM Vol. 1,
    /// 3.3.7.1). See <see cref="StackAccess"/>.
    /// </summary>
    public static bool RecordNonCanonical(VpState* s)
    {
        Record(s, Vector.GP, 0);
        EngineBlock.Of(s)->Fault.NonCanonical = 1;
        return false;
    }

    /// <summary>The access that just failed was to the stack. Always false.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static bool StackAccess(VpState* s)
    {
        PendingFault* fault = &EngineBlock.Of(s)->Fault;
        if (fault->NonCanonical != 0)
        {
            fault->Vector = Vector.SS;
        }

        return false;
    }

    /// <summary>A page fault: CR2 is loaded when it is delivered.</summary>
    public static bool RecordPageFault(VpState* s, ulong linear, uint errorCode)
    {
        EngineBlock.Of(s)->Fault = new PendingFault
        {
            Pending = 1,
            Vector = Vector.PF,
            HasErrorCode = 1,
            ErrorCode = errorCode,
            Cr2 = linear,
        };
        return false;
    }

    /// <summary>A #DB fault or trap with these causes in DR6.</summary>
    public static bool RecordDebug(VpState* s, ulong dr6)
    {
        EngineBlock.Of(s)->Fault = new PendingFault { Pending = 1, Vector = Vector.DB, Dr6 = dr6 };
        return false;
    }
}

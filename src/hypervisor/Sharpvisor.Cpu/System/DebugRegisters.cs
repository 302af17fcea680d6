// Breakpoints: Intel SDM Vol. 3B, 17.2. Nothing here runs while DR7 enables nothing.
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.System;

internal static unsafe class DebugRegisters
{
    /// <summary>Bits of DR6 that always read as 1.</summary>
    public const ulong Dr6Fixed = 0xFFFF_0FF0;
    /// <summary>DR7.GD: the next access to a debug register is a #DB.</summary>
    public const ulong GeneralDetect = 1UL << 13;
    public const uint SingleStep = 1u << 14;
    public const uint AccessDetected = 1u << 13;

    private const int TypeExecute = 0;
    private const int TypeWrite = 1;
    private const int TypeIo = 2;

    /// <summary>DR7 enables a breakpoint on data.</summary>
    public static bool ArmsData(VpState* s) => Arms(s, 1, 3);

    /// <summary>DR7 enables a breakpoint on instruction fetch.</summary>
    public static bool ArmsExecution(VpState* s) => Arms(s, TypeExecute, TypeExecute);

    /// <summary>DR7 enables a breakpoint on I/O ports.</summary>
    public static bool ArmsIo(VpState* s) => (s->Cr4 & Cr4.DE) != 0 && Arms(s, TypeIo, TypeIo);

    /// <summary>Records hits of a data access; the trap follows the instruction.</summary>
    public static void MatchData(VpState* s, ulong linear, int bytes, bool write)
    {
        if ((s->Dr[7] & 0xFF) == 0)
        {
            return;
        }

        for (int i = 0; i < 4; i++)
        {
            int type = Type(s, i);
            if (Enabled(s, i) && (type == 3 || (type == TypeWrite && write)) && Overlaps(s, i, linear, bytes))
            {
                Hit(s, i);
            }
        }
    }

    /// <summary>Records hits of a port access (CR4.DE).</summary>
    public static void MatchIo(VpState* s, ushort port, int bytes)
    {
        if (!ArmsIo(s))
        {
            return;
        }

        for (int i = 0; i < 4; i++)
        {
            if (Enabled(s, i) && Type(s, i) == TypeIo && Overlaps(s, i, port, bytes))
            {
                Hit(s, i);
            }
        }
    }

    /// <summary>DR6 bits of the execution breakpoints at an address; 0 for none. RFLAGS.RF suppresses them.</summary>
    public static uint MatchExecution(VpState* s, ulong linear)
    {
        if ((s->Dr[7] & 0xFF) == 0 || (s->RFlags & RFlag.RF) != 0)
        {
            return 0;
        }

        uint hits = 0;
        for (int i = 0; i < 4; i++)
        {
            if (Enabled(s, i) && Type(s, i) == TypeExecute && s->Dr[i] == linear)
            {
                hits |= 1u << i;
            }
        }

        return hits;
    }

    private static bool Arms(VpState* s, int first, int last)
    {
        if ((s->Dr[7] & 0xFF) == 0)
        {
            return false;
        }

        for (int i = 0; i < 4; i++)
        {
            int type = Type(s, i);
            if (Enabled(s, i) && type >= first && type <= last && (type != TypeIo || first == TypeIo))
            {
                return true;
            }
        }

        return false;
    }

    private static void Hit(VpState* s, int index)
    {
        EngineBlock.Of(s)->BreakpointHits |= 1u << index;
        // The run loop looks at block boundaries; an engine event makes this block one instruction short of its end.
        Interlocked.Or(ref s->PendingEvents, (uint)VpEvents.Engine);
    }

    private static bool Enabled(VpState* s, int index) => ((s->Dr[7] >> (index * 2)) & 3) != 0;

    private static int Type(VpState* s, int index) => (int)(s->Dr[7] >> (16 + (index * 4))) & 3;

    private static bool Overlaps(VpState* s, int index, ulong address, int bytes)
    {
        int code = (int)(s->Dr[7] >> (18 + (index * 4))) & 3;
        ulong length = code switch { 0 => 1, 1 => 2, 2 => 8, _ => 4 };
        ulong start = s->Dr[index] & ~(length - 1);
        return address < start + length && start < address + (uint)bytes;
    }
}

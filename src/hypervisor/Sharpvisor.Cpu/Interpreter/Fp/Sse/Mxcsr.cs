// MXCSR: Intel SDM Vol. 1, 10.2.3.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal static unsafe class Mxcsr
{
    public const uint FlagsMask = 0x3F;
    public const uint Daz = 1 << 6;
    public const int MaskShift = 7;
    public const uint MasksMask = 0x3F << MaskShift;
    public const int RoundingShift = 13;
    public const uint RoundingMask = 3 << RoundingShift;
    public const uint Ftz = 1 << 15;
    public const uint Initial = 0x1F80;
    /// <summary>MXCSR_MASK as FXSAVE reports it: the bits that may be set.</summary>
    public const uint Supported = 0xFFFF;

    public static Op* Load(VpState* s, Op* op)
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        if (!SseAccess.Load(s, op, out uint value))
        {
            return null;
        }

        if ((value & ~Supported) != 0)
        {
            return Faults.GeneralProtection(s, op);
        }

        s->Mxcsr = value;
        return op + 1;
    }

    public static Op* Store(VpState* s, Op* op)
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        return SseAccess.Store(s, op, s->Mxcsr) ? op + 1 : null;
    }
}

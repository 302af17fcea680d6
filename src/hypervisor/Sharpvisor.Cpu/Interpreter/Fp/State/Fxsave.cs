// FXSAVE and FXRSTOR, and the legacy region that XSAVE shares with them: Intel SDM Vol. 1, 10.5.1 and 13.4.1.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.Sse;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter.Fp.State;

internal static unsafe class Fxsave
{
    public const int LegacyBytes = 512;
    public const int XmmOffset = 160;
    /// <summary>The processor writes nothing above the XMM registers.</summary>
    private const int WrittenBytes = 416;
    private const int MxcsrOffset = 24;

    public static bool Is64Bit(VpState* s)
        => (s->Efer & (1UL << 10)) != 0 && (VpState.Seg(s, Segment.Cs)->Attributes & (1 << 9)) != 0;

    /// <summary>XMM registers the current mode can name.</summary>
    public static int XmmCount(VpState* s) => Is64Bit(s) ? 16 : 8;

    public static Op* Save(VpState* s, Op* op) => Save(s, op, wide: false);

    public static Op* Save64(VpState* s, Op* op) => Save(s, op, wide: true);

    private static Op* Save(VpState* s, Op* op, bool wide)
    {
        if (!Reach(s, op, write: true, out ulong linear))
        {
            return null;
        }

        byte* image = stackalloc byte[LegacyBytes];
        PutX87(s, image, wide);
        *(uint*)(image + MxcsrOffset) = s->Mxcsr;
        *(uint*)(image + MxcsrOffset + 4) = Mxcsr.Supported;
        int bytes = XmmOffset;
        if ((s->Cr4 & SseAccess.Cr4OsFxsr) != 0)
        {
            PutXmm(s, image);
            bytes = Is64Bit(s) ? WrittenBytes : XmmOffset + 128;
        }

        return StoreRange(s, linear, image, 0, bytes) ? op + 1 : null;
    }

    public static Op* Restore(VpState* s, Op* op) => Restore(s, op, wide: false);

    public static Op* Restore64(VpState* s, Op* op) => Restore(s, op, wide: true);

    private static Op* Restore(VpState* s, Op* op, bool wide)
    {
        if (!Reach(s, op, write: false, out ulong linear))
        {
            return null;
        }

        byte* image = stackalloc byte[LegacyBytes];
        if (!LoadRange(s, linear, image, 0, LegacyBytes))
        {
            return null;
        }

        bool sse = (s->Cr4 & SseAccess.Cr4OsFxsr) != 0;
        uint mxcsr = *(uint*)(image + MxcsrOffset);
        if (sse && (mxcsr & ~Mxcsr.Supported) != 0)
        {
            return Faults.GeneralProtection(s, op);
        }

        TakeX87(s, image, wide);
        if (sse)
        {
            s->Mxcsr = mxcsr;
            TakeXmm(s, image);
        }

        return op + 1;
    }

    private static bool Reach(VpState* s, Op* op, bool write, out ulong linear)
    {
        linear = 0;
        if ((s->Cr0 & (SseAccess.Cr0Em | SseAccess.Cr0Ts)) != 0)
        {
            Faults.Raise(s, op, FpVector.DeviceNotAvailable);
            return false;
        }

        if (!Operand.Address(s, op, out linear, LegacyBytes, write))
        {
            return false;
        }

        if ((linear & 15) != 0)
        {
            Faults.GeneralProtection(s, op);
            return false;
        }

        return true;
    }

    /// <summary>Bytes 0..23 and the ST registers. The registers are stored relative to TOP, the tags are not.</summary>
    public static void PutX87(VpState* s, byte* image, bool wide)
    {
        *(ushort*)image = s->Fcw;
        *(ushort*)(image + 2) = s->Fsw;
        image[4] = (byte)s->Ftw;
        image[5] = 0;
        *(ushort*)(image + 6) = s->Fop;
        // Without REX.W the selectors would follow the 32-bit offsets. CPUID.7.EBX[13] says that they are stored as zero.
        *(ulong*)(image + 8) = wide ? s->Fip : (uint)s->Fip;
        *(ulong*)(image + 16) = wide ? s->Fdp : (uint)s->Fdp;
        int top = (s->Fsw >> 11) & 7;
        for (int i = 0; i < 8; i++)
        {
            byte* r = s->X87 + (((top + i) & 7) * 16);
            byte* d = image + 32 + (i * 16);
            *(ulong*)d = *(ulong*)r;
            *(ulong*)(d + 8) = *(ushort*)(r + 8);
        }
    }

    public static void TakeX87(VpState* s, byte* image, bool wide)
    {
        s->Fcw = (ushort)((*(ushort*)image & 0x1F7F) | 0x40);
        s->Ftw = image[4];
        s->Fop = (ushort)(*(ushort*)(image + 6) & 0x7FF);
        s->Fip = wide ? *(ulong*)(image + 8) : *(uint*)(image + 8);
        s->Fdp = wide ? *(ulong*)(image + 16) : *(uint*)(image + 16);
        X87.X87State.LoadStatus(s, *(ushort*)(image + 2));
        int top = (s->Fsw >> 11) & 7;
        for (int i = 0; i < 8; i++)
        {
            byte* r = s->X87 + (((top + i) & 7) * 16);
            byte* d = image + 32 + (i * 16);
            *(ulong*)r = *(ulong*)d;
            *(ulong*)(r + 8) = *(ushort*)(d + 8);
        }
    }

    public static void PutXmm(VpState* s, byte* image)
    {
        for (int i = XmmCount(s) - 1; i >= 0; i--)
        {
            *(global::System.Runtime.Intrinsics.Vector128<byte>*)(image + XmmOffset + (i * 16)) = *SseAccess.Xmm(s, i);
        }
    }

    public static void TakeXmm(VpState* s, byte* image)
    {
        for (int i = XmmCount(s) - 1; i >= 0; i--)
        {
            *SseAccess.Xmm(s, i) = *(global::System.Runtime.Intrinsics.Vector128<byte>*)(image + XmmOffset + (i * 16));
        }
    }

    /// <summary>Writes image[from..to). Both ends are probed first, so that a fault leaves the area as it was.</summary>
    public static bool StoreRange(VpState* s, ulong linear, byte* image, int from, int to)
    {
        if (from >= to)
        {
            return true;
        }

        if (!GuestAccess.LoadForWrite(s, linear + (ulong)from, out ulong _)
            || !GuestAccess.LoadForWrite(s, linear + (ulong)to - 8, out ulong _))
        {
            return false;
        }

        for (int i = from; i < to; i += 8)
        {
            if (!GuestAccess.Store(s, linear + (ulong)i, *(ulong*)(image + i)))
            {
                return false;
            }
        }

        return true;
    }

    public static bool LoadRange(VpState* s, ulong linear, byte* image, int from, int to)
    {
        for (int i = from; i < to; i += 8)
        {
            if (!GuestAccess.Load(s, linear + (ulong)i, out ulong value))
            {
                return false;
            }

            *(ulong*)(image + i) = value;
        }

        return true;
    }
}

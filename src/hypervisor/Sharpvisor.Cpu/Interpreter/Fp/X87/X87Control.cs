// x87 control instructions: Intel SDM Vol. 1, 8.3.9; environment layouts 8.1.10.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Mmu;
using Sharpvisor.Cpu.System;
using static Sharpvisor.Cpu.Interpreter.Fp.X87.X87State;

namespace Sharpvisor.Cpu.Interpreter.Fp.X87;

internal static unsafe class X87Control
{
    public static Op* Init(VpState* s, Op* op)
    {
        if (NoDevice(s))
        {
            return Refuse(s, op);
        }

        Initialize(s);
        return op + 1;
    }

    public static Op* ClearExceptions(VpState* s, Op* op)
    {
        if (NoDevice(s))
        {
            return Refuse(s, op);
        }

        s->Fsw = (ushort)(s->Fsw & ~(ExceptionFlags | StackFault | ErrorSummary | Busy));
        return op + 1;
    }

    /// <summary>WAIT/FWAIT: #NM only when both MP and TS are set.</summary>
    public static Op* Wait(VpState* s, Op* op)
    {
        const ulong mpAndTs = 0xA;
        if ((s->Cr0 & mpAndTs) == mpAndTs)
        {
            return Faults.Raise(s, op, FpVector.DeviceNotAvailable);
        }

        return (s->Fsw & ErrorSummary) != 0 ? Faults.Raise(s, op, FpVector.X87) : op + 1;
    }

    public static Op* LoadControl(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        if (!Sse.SseAccess.Load(s, op, out ushort value))
        {
            return null;
        }

        SetControl(s, value);
        return op + 1;
    }

    private static void SetControl(VpState* s, ushort value)
    {
        s->Fcw = (ushort)((value & 0x1F7F) | 0x40);
        Summarize(s);
    }

    public static Op* StoreControl(VpState* s, Op* op)
    {
        if (NoDevice(s))
        {
            return Refuse(s, op);
        }

        return Sse.SseAccess.Store(s, op, s->Fcw) ? op + 1 : null;
    }

    public static Op* StoreStatus(VpState* s, Op* op)
    {
        if (NoDevice(s))
        {
            return Refuse(s, op);
        }

        return Sse.SseAccess.Store(s, op, s->Fsw) ? op + 1 : null;
    }

    public static Op* StoreStatusAx(VpState* s, Op* op)
    {
        if (NoDevice(s))
        {
            return Refuse(s, op);
        }

        *(ushort*)s->Gpr = s->Fsw;
        return op + 1;
    }

    public static Op* StoreEnvironment(VpState* s, Op* op)
    {
        if (NoDevice(s))
        {
            return Refuse(s, op);
        }

        byte* image = stackalloc byte[32];
        int bytes = BuildEnvironment(s, op, image);
        if (!Put(s, op, image, bytes))
        {
            return null;
        }

        s->Fcw |= ExceptionFlags;
        Summarize(s);
        return op + 1;
    }

    public static Op* Save(VpState* s, Op* op)
    {
        if (NoDevice(s))
        {
            return Refuse(s, op);
        }

        byte* image = stackalloc byte[112];
        int bytes = BuildEnvironment(s, op, image);
        for (int i = 0; i < 8; i++)
        {
            Float80 value = Read(s, i);
            *(ulong*)(image + bytes) = value.Significand;
            *(ushort*)(image + bytes + 8) = value.SignExponent;
            bytes += 10;
        }

        if (!Put(s, op, image, bytes))
        {
            return null;
        }

        Initialize(s);
        return op + 1;
    }

    public static Op* LoadEnvironment(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        byte* image = stackalloc byte[32];
        int bytes = EnvironmentBytes(op);
        if (!Get(s, op, image, bytes))
        {
            return null;
        }

        TakeEnvironment(s, op, image);
        return op + 1;
    }

    public static Op* Restore(VpState* s, Op* op)
    {
        if (Unavailable(s))
        {
            return Refuse(s, op);
        }

        byte* image = stackalloc byte[112];
        int bytes = EnvironmentBytes(op);
        if (!Get(s, op, image, bytes + 80))
        {
            return null;
        }

        TakeEnvironment(s, op, image);
        ushort tags = s->Ftw;
        for (int i = 0; i < 8; i++)
        {
            Write(s, i, new Float80(*(ushort*)(image + bytes + 8), *(ulong*)(image + bytes)));
            bytes += 10;
        }

        s->Ftw = tags;
        return op + 1;
    }

    private static bool Is16Bit(Op* op)
        => op->Code is (ushort)Iced.Intel.Code.Fnstenv_m14byte or (ushort)Iced.Intel.Code.Fldenv_m14byte
            or (ushort)Iced.Intel.Code.Fnsave_m94byte or (ushort)Iced.Intel.Code.Frstor_m94byte
            or (ushort)Iced.Intel.Code.Fstenv_m14byte or (ushort)Iced.Intel.Code.Fsave_m94byte;

    private static int EnvironmentBytes(Op* op) => Is16Bit(op) ? 14 : 28;

    /// <summary>In real and virtual-8086 mode addresses are linear and split over two fields.</summary>
    private static bool IsRealLayout(VpState* s) => (s->Cr0 & 1) == 0 || (Flags.Read(s) & Flags.VM) != 0;

    private static int BuildEnvironment(VpState* s, Op* op, byte* image)
    {
        new Span<byte>(image, 28).Clear();
        uint fip = (uint)s->Fip;
        uint fdp = (uint)s->Fdp;
        bool real = IsRealLayout(s);
        if (Is16Bit(op))
        {
            ushort* w = (ushort*)image;
            w[0] = s->Fcw;
            w[1] = s->Fsw;
            w[2] = FullTags(s);
            w[3] = (ushort)fip;
            w[4] = real ? (ushort)(((fip >> 4) & 0xF000) | (uint)(s->Fop & 0x7FF)) : (ushort)0;
            w[5] = (ushort)fdp;
            w[6] = real ? (ushort)((fdp >> 4) & 0xF000) : (ushort)0;
            return 14;
        }

        uint* d = (uint*)image;
        d[0] = 0xFFFF_0000 | s->Fcw;
        d[1] = 0xFFFF_0000 | s->Fsw;
        d[2] = 0xFFFF_0000 | FullTags(s);
        if (real)
        {
            d[3] = 0xFFFF_0000 | (ushort)fip;
            d[4] = ((fip >> 16) << 12) | (uint)(s->Fop & 0x7FF);
            d[5] = 0xFFFF_0000 | (ushort)fdp;
            d[6] = (fdp >> 16) << 12;
        }
        else
        {
            d[3] = fip;
            d[4] = (uint)(s->Fop & 0x7FF) << 16;
            d[5] = fdp;
            d[6] = 0xFFFF_0000;
        }

        return 28;
    }

    private static void TakeEnvironment(VpState* s, Op* op, byte* image)
    {
        bool real = IsRealLayout(s);
        bool small = Is16Bit(op);
        ushort* w = (ushort*)image;
        int step = small ? 1 : 2;
        ushort control = w[0];
        ushort status = w[step];
        ushort tags = w[2 * step];
        if (small)
        {
            s->Fip = w[3] | (real ? (uint)(w[4] & 0xF000) << 4 : 0);
            s->Fdp = w[5] | (real ? (uint)(w[6] & 0xF000) << 4 : 0);
            s->Fop = real ? (ushort)(w[4] & 0x7FF) : (ushort)0;
        }
        else
        {
            uint* d = (uint*)image;
            s->Fip = real ? (ushort)d[3] | ((d[4] & 0x0FFF_F000) << 4) : d[3];
            s->Fdp = real ? (ushort)d[5] | ((d[6] & 0x0FFF_F000) << 4) : d[5];
            s->Fop = (ushort)((real ? d[4] : d[4] >> 16) & 0x7FF);
        }

        s->Fsw = status;
        SetControl(s, control);
        LoadFullTags(s, tags);
    }

    private static bool Put(VpState* s, Op* op, byte* image, int bytes)
    {
        if (!Operand.Address(s, op, out ulong linear, (uint)bytes, write: true)
            || !GuestAccess.LoadForWrite(s, linear, out ushort _)
            || !GuestAccess.LoadForWrite(s, linear + (ulong)bytes - 2, out ushort _))
        {
            return false;
        }

        for (int i = 0; i < bytes; i += 2)
        {
            if (!GuestAccess.Store(s, linear + (ulong)i, *(ushort*)(image + i)))
            {
                return false;
            }
        }

        return true;
    }

    private static bool Get(VpState* s, Op* op, byte* image, int bytes)
    {
        if (!Operand.Address(s, op, out ulong linear, (uint)bytes, write: false))
        {
            return false;
        }

        for (int i = 0; i < bytes; i += 2)
        {
            if (!GuestAccess.Load(s, linear + (ulong)i, out ushort value))
            {
                return false;
            }

            *(ushort*)(image + i) = value;
        }

        return true;
    }
}

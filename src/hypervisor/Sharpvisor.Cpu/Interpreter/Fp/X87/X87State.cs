// The x87 register stack, status and control words: Intel SDM Vol. 1, 8.1.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.Interpreter.Fp.Sse;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter.Fp.X87;

internal static unsafe class X87State
{
    public const ushort InitialControl = 0x37F;
    public const ushort ExceptionFlags = 0x3F;
    public const ushort StackFault = 0x40;
    public const ushort ErrorSummary = 0x80;
    public const ushort C0 = 0x100;
    public const ushort C1 = 0x200;
    public const ushort C2 = 0x400;
    public const ushort C3 = 0x4000;
    public const ushort Conditions = C0 | C1 | C2 | C3;
    public const ushort Busy = 0x8000;

    /// <summary>True when a waiting x87 instruction must fault: see <see cref="Refuse"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Unavailable(VpState* s)
        => ((s->Cr0 & (SseAccess.Cr0Em | SseAccess.Cr0Ts)) | (uint)(s->Fsw & ErrorSummary)) != 0;

    /// <summary>#NM, or #MF for a pending exception. With CR0.NE clear a PC would signal IRQ 13: no supported guest runs so with unmasked exceptions.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Op* Refuse(VpState* s, Op* op)
        => Faults.Raise(s, op, NoDevice(s) ? FpVector.DeviceNotAvailable : FpVector.X87);

    /// <summary>The check of non-waiting control instructions.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool NoDevice(VpState* s) => (s->Cr0 & (SseAccess.Cr0Em | SseAccess.Cr0Ts)) != 0;

    /// <summary>Remembers the instruction for FNSTENV. FDP and FOP change only with an unmasked exception (CPUID.7.EBX[6]).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Track(VpState* s, Op* op) => s->Fip = s->Gpr[17] + op->PageOffset;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Top(VpState* s) => (s->Fsw >> 11) & 7;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Physical(VpState* s, int i) => (Top(s) + i) & 7;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsEmpty(VpState* s, int i) => ((s->Ftw >> Physical(s, i)) & 1) == 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float80 Read(VpState* s, int i)
    {
        byte* r = s->X87 + (Physical(s, i) * 16);
        return new Float80(*(ushort*)(r + 8), *(ulong*)r);
    }

    /// <summary>Writes ST(i) and tags it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(VpState* s, int i, Float80 value)
    {
        int p = Physical(s, i);
        byte* r = s->X87 + (p * 16);
        *(ulong*)r = value.Significand;
        *(ulong*)(r + 8) = value.SignExponent;
        s->Ftw = (ushort)(s->Ftw | (1 << p));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SetTop(VpState* s, int top) => s->Fsw = (ushort)((s->Fsw & ~0x3800) | ((top & 7) << 11));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pop(VpState* s)
    {
        int top = Top(s);
        s->Ftw = (ushort)(s->Ftw & ~(1 << top));
        SetTop(s, top + 1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Push(VpState* s, Float80 value)
    {
        SetTop(s, Top(s) - 1);
        Write(s, 0, value);
    }

    /// <summary>FSW from memory: the summary bits follow the flags and the masks.</summary>
    public static void LoadStatus(VpState* s, ushort status)
    {
        s->Fsw = status;
        Summarize(s);
    }

    public static void Summarize(VpState* s)
    {
        bool pending = (s->Fsw & ~s->Fcw & ExceptionFlags) != 0;
        s->Fsw = (ushort)((s->Fsw & ~(ErrorSummary | Busy)) | (pending ? ErrorSummary | Busy : 0));
    }

    /// <summary>FNINIT: the data registers keep their contents.</summary>
    public static void Initialize(VpState* s)
    {
        s->Fcw = InitialControl;
        s->Fsw = 0;
        s->Ftw = 0;
        s->Fop = 0;
        s->Fip = 0;
        s->Fdp = 0;
    }

    /// <summary>The initial configuration of XRSTOR: also clears the data registers.</summary>
    public static void Reset(VpState* s)
    {
        Initialize(s);
        for (int i = 0; i < 8; i++)
        {
            *(Vector128<byte>*)(s->X87 + (i * 16)) = default;
        }
    }

    /// <summary>The full tag word of FNSTENV, in physical order.</summary>
    public static ushort FullTags(VpState* s)
    {
        int tags = 0;
        for (int p = 0; p < 8; p++)
        {
            int tag = 3;
            if (((s->Ftw >> p) & 1) != 0)
            {
                byte* r = s->X87 + (p * 16);
                int exponent = *(ushort*)(r + 8) & 0x7FFF;
                ulong significand = *(ulong*)r;
                tag = exponent == 0 && significand == 0 ? 1
                    : exponent == 0 || exponent == 0x7FFF || (significand >> 63) == 0 ? 2 : 0;
            }

            tags |= tag << (p * 2);
        }

        return (ushort)tags;
    }

    public static void LoadFullTags(VpState* s, ushort tags)
    {
        int abridged = 0;
        for (int p = 0; p < 8; p++)
        {
            abridged |= ((tags >> (p * 2)) & 3) != 3 ? 1 << p : 0;
        }

        s->Ftw = (ushort)abridged;
    }
}

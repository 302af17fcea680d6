// AAA AAS AAM AAD DAA DAS, BOUND (legacy modes only), RDRAND, RDSEED (Intel SDM Vol. 2).
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe class DecimalAdjust
{
    public static Op* Aaa(VpState* s, Op* op) => Adjust(s, op, 0x106);

    public static Op* Aas(VpState* s, Op* op) => Adjust(s, op, -0x106);

    public static Op* Aam(VpState* s, Op* op)
    {
        byte radix = (byte)op->Immediate;
        if (radix == 0)
        {
            return Faults.Raise(s, op, Vector.DE);
        }

        byte al = (byte)s->Gpr[0];
        *(ushort*)s->Gpr = (ushort)((al / radix << 8) | (al % radix));
        Flags.SetResult(s, (ulong)(sbyte)(al % radix), false, false);
        return op + 1;
    }

    public static Op* Aad(VpState* s, Op* op)
    {
        ushort ax = (ushort)s->Gpr[0];
        byte al = (byte)((byte)ax + ((ax >> 8) * (byte)op->Immediate));
        *(ushort*)s->Gpr = al;
        Flags.SetResult(s, (ulong)(sbyte)al, false, false);
        return op + 1;
    }

    public static Op* Daa(VpState* s, Op* op) => Packed(s, op, subtract: false);

    public static Op* Das(VpState* s, Op* op) => Packed(s, op, subtract: true);

    private static Op* Adjust(VpState* s, Op* op, int change)
    {
        ushort ax = (ushort)s->Gpr[0];
        bool adjust = (ax & 15) > 9 || Flags.Adjust(s);
        if (adjust)
        {
            ax = (ushort)(ax + change);
        }

        *(ushort*)s->Gpr = (ushort)(ax & 0xFF0F);
        ulong flags = Flags.ReadArithmetic(s) & ~(Flags.CF | Flags.AF);
        Flags.WriteArithmetic(s, flags | (adjust ? Flags.CF | Flags.AF : 0));
        return op + 1;
    }

    private static Op* Packed(VpState* s, Op* op, bool subtract)
    {
        byte old = (byte)s->Gpr[0];
        int sign = subtract ? -1 : 1;
        bool oldCarry = Flags.Carry(s);
        bool carry = false;
        bool adjust = (old & 15) > 9 || Flags.Adjust(s);
        int al = old;
        if (adjust)
        {
            al += 6 * sign;
            carry = oldCarry || (al & ~0xFF) != 0;
        }

        if (old > 0x99 || oldCarry)
        {
            al += 0x60 * sign;
            carry = true;
        }
        else if (!subtract)
        {
            carry = false;
        }

        *(byte*)s->Gpr = (byte)al;
        Flags.SetResult(s, (ulong)(sbyte)(byte)al, carry, false);
        if (adjust)
        {
            Flags.Lazy(s)->Carries |= 8;
        }

        return op + 1;
    }
}

internal static unsafe class Miscellaneous
{
    public static Op* Bound<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        if (!Operand.Address(s, op, out ulong linear, (uint)(2 * sizeof(T)), write: false)
            || !Sized<T>.Load(s, linear, out ulong low)
            || !Sized<T>.Load(s, linear + (ulong)sizeof(T), out ulong high))
        {
            return null;
        }

        long index = (long)Sized<T>.Sx(Sized<T>.Get(s, op->Dst));
        return index < (long)Sized<T>.Sx(low) || index > (long)Sized<T>.Sx(high)
            ? Faults.Raise(s, op, Vector.BR)
            : op + 1;
    }

    /// <summary>RDRAND and RDSEED always succeed.</summary>
    public static Op* Random<T>(VpState* s, Op* op)
        where T : unmanaged
    {
        ulong value = Vp.Of(s).Random();
        Sized<T>.Set(s, op->Dst, value);
        Flags.WriteArithmetic(s, Flags.CF);
        return op + 1;
    }
}

// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: Intel SDM Vol. 2B, 4.1 "Imm8 control byte operation".
using System.Numerics;
using System.Runtime.Intrinsics;
using Sharpvisor.Cpu.Decode;


namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal static unsafe class SseStrings
{
    private const ulong Cf = 1;
    private const ulong Zf = 0x40;
    private const ulong Sf = 0x80;
    private const ulong Of = 0x800;

    public static Op* ExplicitIndex(VpState* s, Op* op) => Run(s, op, explicitBytes: 4, index: true);

    public static Op* ExplicitIndex64(VpState* s, Op* op) => Run(s, op, explicitBytes: 8, index: true);

    public static Op* ExplicitMask(VpState* s, Op* op) => Run(s, op, explicitBytes: 4, index: false);

    public static Op* ExplicitMask64(VpState* s, Op* op) => Run(s, op, explicitBytes: 8, index: false);

    public static Op* ImplicitIndex(VpState* s, Op* op) => Run(s, op, explicitBytes: 0, index: true);

    public static Op* ImplicitMask(VpState* s, Op* op) => Run(s, op, explicitBytes: 0, index: false);

    private static Op* Run(VpState* s, Op* op, int explicitBytes, bool index)
    {
        if (SseAccess.Unavailable(s))
        {
            return SseAccess.Refuse(s, op);
        }

        Vector128<byte> source;
        if (!SseAccess.IsMemory(op))
        {
            source = *SseAccess.Xmm(s, op->Src);
        }
        else if (!SseAccess.Load(s, op, out source))
        {
            return null;
        }

        int control = (int)op->Immediate;
        bool words = (control & 1) != 0;
        int count = words ? 8 : 16;
        int* a = stackalloc int[16];
        int* b = stackalloc int[16];
        Expand(*SseAccess.Xmm(s, op->Dst), control, a);
        Expand(source, control, b);
        int la = explicitBytes == 0 ? ImplicitLength(a, count) : ExplicitLength(s->Gpr[0], explicitBytes, count);
        int lb = explicitBytes == 0 ? ImplicitLength(b, count) : ExplicitLength(s->Gpr[2], explicitBytes, count);
        int result = Aggregate(a, la, b, lb, count, (control >> 2) & 3);
        int all = (1 << count) - 1;
        result ^= (control & 0x30) switch
        {
            0x10 => all,
            0x30 => (1 << lb) - 1,
            _ => 0,
        };
        if (index)
        {
            s->Gpr[1] = result == 0 ? (uint)count
                : (control & 0x40) != 0 ? (uint)BitOperations.Log2((uint)result)
                : (uint)BitOperations.TrailingZeroCount(result);
        }
        else
        {
            *SseAccess.Xmm(s, 0) = Mask(result, words, expand: (control & 0x40) != 0);
        }

        Flags.WriteArithmetic(s, (result != 0 ? Cf : 0) | (lb < count ? Zf : 0) | (la < count ? Sf : 0) | ((result & 1) != 0 ? Of : 0));
        return op + 1;
    }

    private static void Expand(Vector128<byte> v, int control, int* elements)
    {
        for (int i = 0; i < 16; i++)
        {
            elements[i] = (control & 3) switch
            {
                0 => v[i],
                1 => v.AsUInt16()[i & 7],
                2 => (sbyte)v[i],
                _ => v.AsInt16()[i & 7],
            };
        }
    }

    private static int ImplicitLength(int* elements, int count)
    {
        int n = 0;
        while (n < count && elements[n] != 0)
        {
            n++;
        }

        return n;
    }

    private static int ExplicitLength(ulong register, int bytes, int count)
    {
        long value = bytes == 4 ? (int)register : (long)register;
        ulong magnitude = value < 0 ? 0UL - (ulong)value : (ulong)value;
        return (int)Math.Min(magnitude, (ulong)count);
    }

    private static int Aggregate(int* a, int la, int* b, int lb, int count, int mode)
    {
        int result = 0;
        for (int j = 0; j < count; j++)
        {
            bool hit = mode switch
            {
                0 => j < lb && Any(a, la, b[j]),
                1 => j < lb && InRanges(a, la, b[j]),
                2 => j < la && j < lb ? a[j] == b[j] : j >= la && j >= lb,
                _ => Ordered(a, la, b, lb, count, j),
            };
            result |= hit ? 1 << j : 0;
        }

        return result;
    }

    private static bool Any(int* a, int la, int value)
    {
        for (int i = 0; i < la; i++)
        {
            if (a[i] == value)
            {
                return true;
            }
        }

        return false;
    }

    private static bool InRanges(int* a, int la, int value)
    {
        for (int i = 0; i + 1 < la; i += 2)
        {
            if (value >= a[i] && value <= a[i + 1])
            {
                return true;
            }
        }

        return false;
    }

    private static bool Ordered(int* a, int la, int* b, int lb, int count, int start)
    {
        for (int i = 0; i < la && start + i < count; i++)
        {
            if (start + i >= lb || a[i] != b[start + i])
            {
                return false;
            }
        }

        return true;
    }

    private static Vector128<byte> Mask(int result, bool words, bool expand)
    {
        if (!expand)
        {
            return Vector128.CreateScalar((uint)result).AsByte();
        }

        if (words)
        {
            return LaneMasks.Words(result).AsByte();
        }

        Vector128<byte> select = Vector128.Create((byte)1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128);
        Vector128<byte> bits = Vector128.Create(
            Vector64.Create((byte)result), Vector64.Create((byte)(result >> 8)));
        return Vector128.Equals(bits & select, select);
    }
}

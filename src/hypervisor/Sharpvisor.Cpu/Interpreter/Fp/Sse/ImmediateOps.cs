// SIMD functions that take an immediate. The host's intrinsics want constants, so those with a variable immediate are
// written over PSHUFB tables or elements. Intel SDM Vol. 2.
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using HostAes = System.Runtime.Intrinsics.X86.Aes;
using HostClmul = System.Runtime.Intrinsics.X86.Pclmulqdq;
using V = System.Runtime.Intrinsics.Vector128<byte>;

namespace Sharpvisor.Cpu.Interpreter.Fp.Sse;

internal readonly struct Pshufd : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
    {
        Vector128<uint> v = b.AsUInt32();
        return Vector128.Create(v[immediate & 3], v[(immediate >> 2) & 3], v[(immediate >> 4) & 3], v[immediate >> 6]).AsByte();
    }
}

internal readonly struct Pshuflw : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
        => Vector128.Create(Words.Select(b.AsUInt64()[0], immediate), b.AsUInt64()[1]).AsByte();
}

internal readonly struct Pshufhw : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
        => Vector128.Create(b.AsUInt64()[0], Words.Select(b.AsUInt64()[1], immediate)).AsByte();
}

internal static class Words
{
    /// <summary>Four words of a quadword chosen by two bits each.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Select(ulong q, int immediate)
        => (ulong)(ushort)(q >> ((immediate & 3) * 16))
            | ((ulong)(ushort)(q >> (((immediate >> 2) & 3) * 16)) << 16)
            | ((ulong)(ushort)(q >> (((immediate >> 4) & 3) * 16)) << 32)
            | ((ulong)(ushort)(q >> (((immediate >> 6) & 3) * 16)) << 48);
}

internal readonly struct Shufps : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
    {
        Vector128<uint> x = a.AsUInt32();
        Vector128<uint> y = b.AsUInt32();
        return Vector128.Create(x[immediate & 3], x[(immediate >> 2) & 3], y[(immediate >> 4) & 3], y[immediate >> 6]).AsByte();
    }
}

internal readonly struct Shufpd : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
        => Vector128.Create(a.AsUInt64()[immediate & 1], b.AsUInt64()[(immediate >> 1) & 1]).AsByte();
}

internal readonly struct Palignr : IVectorImmediate
{
    public static unsafe V Apply(V a, V b, byte immediate)
    {
        byte* window = stackalloc byte[64];
        b.Store(window);
        a.Store(window + 16);
        V.Zero.Store(window + 32);
        V.Zero.Store(window + 48);
        return Vector128.Load(window + Math.Min((int)immediate, 32));
    }
}

/// <summary>The MMX form: sixteen bytes of which eight are taken.</summary>
internal readonly struct PalignrMmx : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
        => Palignr.Apply(V.Zero, Vector128.Create(b.AsUInt64()[0], a.AsUInt64()[0]).AsByte(), Math.Min(immediate, (byte)16));
}

internal readonly struct Pslldq : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate) => Palignr.Apply(a, V.Zero, (byte)(16 - Math.Min((int)immediate, 16)));
}

internal readonly struct Psrldq : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate) => Palignr.Apply(V.Zero, a, Math.Min(immediate, (byte)16));
}

internal static class LaneMasks
{
    /// <summary>All ones in each 32-bit lane whose bit is set.</summary>
    public static Vector128<uint> Dwords(int bits)
        => Vector128.Equals(Vector128.Create((uint)bits) & Vector128.Create(1u, 2u, 4u, 8u), Vector128.Create(1u, 2u, 4u, 8u));

    /// <summary>All ones in each 16-bit lane whose bit is set.</summary>
    public static Vector128<ushort> Words(int bits)
    {
        Vector128<ushort> select = Vector128.Create((ushort)1, 2, 4, 8, 16, 32, 64, 128);
        return Vector128.Equals(Vector128.Create((ushort)bits) & select, select);
    }
}

internal readonly struct Blendps : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate) => Vector128.ConditionalSelect(LaneMasks.Dwords(immediate).AsByte(), b, a);
}

internal readonly struct Blendpd : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
        => Vector128.ConditionalSelect(LaneMasks.Dwords(((immediate & 1) * 3) | ((immediate & 2) * 6)).AsByte(), b, a);
}

internal readonly struct Pblendw : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate) => Vector128.ConditionalSelect(LaneMasks.Words(immediate).AsByte(), b, a);
}

internal readonly struct Insertps : IVectorImmediate
{
    /// <remarks>A memory source has one element, which the loader put in lane 0 and for which it cleared COUNT_S.</remarks>
    public static V Apply(V a, V b, byte immediate)
    {
        Vector128<uint> result = a.AsUInt32().WithElement((immediate >> 4) & 3, b.AsUInt32()[immediate >> 6]);
        return Vector128.AndNot(result, LaneMasks.Dwords(immediate & 15)).AsByte();
    }
}

internal readonly struct Mpsadbw : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
    {
        int block = (immediate & 3) * 4;
        int start = (immediate & 4) != 0 ? 4 : 0;
        Vector128<ushort> result = default;
        for (int i = 0; i < 8; i++)
        {
            int sum = 0;
            for (int k = 0; k < 4; k++)
            {
                sum += Math.Abs(a[start + i + k] - b[block + k]);
            }

            result = result.WithElement(i, (ushort)sum);
        }

        return result.AsByte();
    }
}

internal readonly struct Pclmulqdq : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
        => HostClmul.CarrylessMultiply(
            Vector128.CreateScalar(a.AsUInt64()[immediate & 1]),
            Vector128.CreateScalar(b.AsUInt64()[(immediate >> 4) & 1]),
            0).AsByte();
}

internal readonly struct Aeskeygenassist : IVectorImmediate
{
    public static V Apply(V a, V b, byte immediate)
    {
        // The round constant only enters by exclusive or, in dwords 1 and 3.
        V zero = HostAes.KeygenAssist(b, 0);
        return zero ^ Vector128.Create(0u, immediate, 0u, immediate).AsByte();
    }
}

/// <summary>The blends whose mask is XMM0 are given it as the third operand by their handler.</summary>
internal interface IVectorBlend
{
    static abstract V Apply(V a, V b, V mask);
}

internal readonly struct Pblendvb : IVectorBlend
{
    public static V Apply(V a, V b, V mask) => Sse41.BlendVariable(a, b, mask);
}

internal readonly struct Blendvps : IVectorBlend
{
    public static V Apply(V a, V b, V mask) => Sse41.BlendVariable(a.AsSingle(), b.AsSingle(), mask.AsSingle()).AsByte();
}

internal readonly struct Blendvpd : IVectorBlend
{
    public static V Apply(V a, V b, V mask) => Sse41.BlendVariable(a.AsDouble(), b.AsDouble(), mask.AsDouble()).AsByte();
}

internal readonly struct Pmovmskb : IVectorToGpr
{
    public static ulong Apply(V value, byte immediate) => value.ExtractMostSignificantBits();
}

internal readonly struct PmovmskbMmx : IVectorToGpr
{
    public static ulong Apply(V value, byte immediate) => value.ExtractMostSignificantBits() & 0xFF;
}

internal readonly struct Movmskps : IVectorToGpr
{
    public static ulong Apply(V value, byte immediate) => value.AsSingle().ExtractMostSignificantBits();
}

internal readonly struct Movmskpd : IVectorToGpr
{
    public static ulong Apply(V value, byte immediate) => value.AsDouble().ExtractMostSignificantBits();
}

internal readonly struct Pextrw : IVectorToGpr
{
    public static ulong Apply(V value, byte immediate) => value.AsUInt16()[immediate & 7];
}

internal readonly struct PextrwMmx : IVectorToGpr
{
    public static ulong Apply(V value, byte immediate) => value.AsUInt16()[immediate & 3];
}

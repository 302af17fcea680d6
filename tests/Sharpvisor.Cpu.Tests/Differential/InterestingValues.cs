// Operand values near the edges of integer and floating-point formats, mixed with random ones.
namespace Sharpvisor.Cpu.Tests.Differential;

internal static class InterestingValues
{
    private static readonly ulong[] s_edges =
    [
        0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 0x7F, 0x80, 0x81, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000,
        0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000,
        0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFE, 0xFFFF_FFFF_8000_0000, 0x5555_5555_5555_5555, 0x0102_0408_1020_4080,
    ];

    private static readonly uint[] s_singles =
    [
        0, 0x8000_0000, 1, 0x007F_FFFF, 0x0080_0000, 0x0080_0001, 0x3F80_0000, 0xBF80_0000, 0x3F00_0000, 0x4000_0000, 0x7F7F_FFFF,
        0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFFC0_1234, 0x7F80_0001, 0xFFA0_0000, 0x4B00_0000, 0x4F00_0000, 0xCF00_0000, 0x5F00_0000, 0x4EFF_FFFF,
    ];

    private static readonly ulong[] s_doubles =
    [
        0, 0x8000_0000_0000_0000, 1, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x3FF0_0000_0000_0000, 0xBFF0_0000_0000_0000,
        0x3FE0_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000,
        0xFFF8_0000_0000_1234, 0x7FF0_0000_0000_0001, 0xFFF4_0000_0000_0000, 0x4330_0000_0000_0000, 0x41DF_FFFF_FFC0_0000, 0x41E0_0000_0000_0000,
        0xC1E0_0000_0020_0000, 0x43E0_0000_0000_0000, 0xC3E0_0000_0000_0000, 0x36A0_0000_0000_0000, 0x3810_0000_0000_0000, 0x47EF_FFFF_F000_0000,
    ];

    private static readonly ushort[] s_exponents =
        [0, 1, 2, 0x3C01, 0x3F6A, 0x3F81, 0x3FFE, 0x3FFF, 0x4000, 0x401E, 0x403E, 0x407F, 0x43FE, 0x7FFE, 0x7FFF];

    public static ulong Integer(ref SplitMix random)
    {
        int kind = random.Below(8);
        return kind switch
        {
            < 3 => s_edges[random.Below(s_edges.Length)],
            3 => (ulong)(random.Below(256) - 128),
            4 => random.Next() >> random.Below(64),
            5 => (ulong)((long)random.Next() >> random.Below(64)),
            _ => random.Next(),
        };
    }

    public static uint Single(ref SplitMix random) => random.Below(4) switch
    {
        0 => s_singles[random.Below(s_singles.Length)],
        1 => (uint)random.Next(),
        2 => (((uint)random.Next() & 0x807F_FFFF) | ((uint)(0x7F + random.Below(64) - 32) << 23)),
        _ => (((uint)random.Next() & 0x8000_FFFF) | ((uint)(0x7F + random.Below(8) - 4) << 23)),
    };

    public static ulong Double(ref SplitMix random) => random.Below(4) switch
    {
        0 => s_doubles[random.Below(s_doubles.Length)],
        1 => random.Next(),
        2 => (random.Next() & 0x800F_FFFF_FFFF_FFFF) | ((ulong)(0x3FF + random.Below(256) - 128) << 52),
        _ => (random.Next() & 0x8000_FFFF_0000_0000) | ((ulong)(0x3FF + random.Below(8) - 4) << 52),
    };

    /// <summary>Sixteen bytes: integers, singles, doubles or an 80-bit value.</summary>
    public static void Vector(ref SplitMix random, out ulong low, out ulong high)
    {
        switch (random.Below(5))
        {
            case 0:
                low = Integer(ref random);
                high = Integer(ref random);
                break;
            case 1:
                low = Single(ref random) | ((ulong)Single(ref random) << 32);
                high = Single(ref random) | ((ulong)Single(ref random) << 32);
                break;
            case 2:
                low = Double(ref random);
                high = Double(ref random);
                break;
            case 3:
                Extended(ref random, out low, out ushort top);
                high = top | (random.Next() << 16);
                break;
            default:
                low = random.Next();
                high = random.Next();
                break;
        }
    }

    public static void Extended(ref SplitMix random, out ulong significand, out ushort signExponent)
    {
        signExponent = (ushort)(s_exponents[random.Below(s_exponents.Length)] | (random.Percent(50) ? 0x8000 : 0));
        if (random.Percent(40))
        {
            signExponent = (ushort)((signExponent & 0x8000) | (0x3FFF + random.Below(80) - 40));
        }

        significand = random.Below(6) switch
        {
            0 => 0x8000_0000_0000_0000,
            1 => s_edges[random.Below(s_edges.Length)],
            2 => random.Next(),
            3 => 0xC000_0000_0000_0000,
            4 => (random.Next() | 0x8000_0000_0000_0000) & ~0xFFFF_FFFFUL,
            _ => random.Next() | 0x8000_0000_0000_0000,
        };
        if (significand >> 63 == 0 && (signExponent & 0x7FFF) != 0 && random.Percent(80))
        {
            significand |= 0x8000_0000_0000_0000;
        }
    }
}

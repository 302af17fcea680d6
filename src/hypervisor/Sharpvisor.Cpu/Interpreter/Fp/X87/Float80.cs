// The 80-bit extended format as stored: Intel SDM Vol. 1, 4.2.2.
namespace Sharpvisor.Cpu.Interpreter.Fp.X87;

internal readonly record struct Float80(ushort SignExponent, ulong Significand)
{
    /// <summary>The default NaN, "real indefinite".</summary>
    public static Float80 Indefinite => new(0xFFFF, 0xC000_0000_0000_0000);

    public int Exponent => SignExponent & 0x7FFF;

    public bool Sign => (SignExponent & 0x8000) != 0;
}

// Exception vectors of the floating point unit: Intel SDM Vol. 3A, 6.15.
namespace Sharpvisor.Cpu.Interpreter.Fp;

internal static class FpVector
{
    public const byte DeviceNotAvailable = 7;
    /// <summary>#MF: an unmasked x87 exception, at the next waiting instruction.</summary>
    public const byte X87 = 16;
    /// <summary>#XM: an unmasked SIMD exception.</summary>
    public const byte Simd = 19;
}

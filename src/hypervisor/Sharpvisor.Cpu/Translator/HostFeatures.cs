// What the host offers beyond the baseline that TranslatorEngineFactory.IsSupported demands.
using System.Buffers.Binary;

namespace Sharpvisor.Cpu.Translator;

internal static class HostFeatures
{
    // include/uapi/linux/auxvec.h; arch/x86/include/uapi/asm/hwcap2.h
    private const ulong AtHwcap2 = 26;
    private const ulong Hwcap2FsGsBase = 2;

    /// <summary>RORX: rotates without flags, into another register.</summary>
    public static bool Bmi2 { get; } = global::System.Runtime.Intrinsics.X86.Bmi2.X64.IsSupported;

    /// <summary>The kernel lets programs set the GS base themselves (since Linux 5.9).</summary>
    public static bool GsBase { get; } = HasGsBase();

    private static bool HasGsBase()
    {
        try
        {
            ReadOnlySpan<byte> vector = File.ReadAllBytes("/proc/self/auxv");
            for (; vector.Length >= 16; vector = vector[16..])
            {
                if (BinaryPrimitives.ReadUInt64LittleEndian(vector) == AtHwcap2)
                {
                    return (BinaryPrimitives.ReadUInt64LittleEndian(vector[8..]) & Hwcap2FsGsBase) != 0;
                }
            }
        }
        catch (IOException)
        {
        }
        catch (UnauthorizedAccessException)
        {
        }

        return false;
    }
}

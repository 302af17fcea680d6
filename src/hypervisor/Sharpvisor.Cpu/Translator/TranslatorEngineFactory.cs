// The dynamic translator's entry point for the composition root.
using System.Runtime.Intrinsics.X86;
using Sharpvisor.Core.Interop;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.Translator;

/// <summary>Creates engines that translate hot 64-bit code to host code and interpret the rest. x86-64 hosts only.</summary>
/// <param name="threshold">How often a block is entered before it is translated; 1: at once.</param>
/// <param name="codeBytes">Memory for host code, of each VP.</param>
public sealed class TranslatorEngineFactory(
    int threshold = TranslatorEngineFactory.DefaultThreshold, int codeBytes = BlockTranslator.DefaultCodeBytes) : IVpEngineFactory
{
    public const int DefaultThreshold = 16;

    /// <summary>Whether the host has what is translated one to one.</summary>
    public static bool IsSupported => OperatingSystem.IsLinux() && Sse42.X64.IsSupported && Popcnt.X64.IsSupported
        && Aes.IsSupported && Pclmulqdq.IsSupported && Bmi1.X64.IsSupported && Lzcnt.X64.IsSupported;

    /// <summary>Null: a translator can be had here; else why not.</summary>
    public static string? Unavailable()
    {
        if (!IsSupported)
        {
            return "the host is not an x86-64 processor with SSE4.2, AES and BMI1";
        }

        try
        {
            new ExecutableMemory(Environment.SystemPageSize).Dispose();
            return null;
        }
        catch (IOException)
        {
            return "the host allows no executable memory";
        }
    }

    /// <inheritdoc/>
    public IVpEngine Create(int vpIndex, GuestMemory memory, IVpIntercepts intercepts) =>
        new Vp(vpIndex, memory, intercepts, new BlockTranslator((uint)threshold, codeBytes));
}

// The dynamic translator's entry point for the composition root.
using System.Runtime.Intrinsics.X86;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.Translator;

/// <summary>Creates engines that translate hot 64-bit code to host code and interpret the rest. x86-64 hosts only.</summary>
/// <param name="threshold">How often a block is entered before it is translated; 1: at once.</param>
public sealed class TranslatorEngineFactory(int threshold = TranslatorEngineFactory.DefaultThreshold) : IVpEngineFactory
{
    public const int DefaultThreshold = 16;

    /// <summary>Whether the host has what is translated one to one.</summary>
    public static bool IsSupported => OperatingSystem.IsLinux() && Sse42.X64.IsSupported && Popcnt.X64.IsSupported
        && Aes.IsSupported && Pclmulqdq.IsSupported && Bmi1.X64.IsSupported && Lzcnt.X64.IsSupported;

    /// <inheritdoc/>
    public IVpEngine Create(int vpIndex, GuestMemory memory, IVpIntercepts intercepts) =>
        new Vp(vpIndex, memory, intercepts, new BlockTranslator((uint)threshold));
}
